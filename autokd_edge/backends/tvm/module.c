/* A student as a function of TVM's runtime, "autokd_run": float32 image (1, c, h, w) and logits (1, classes), on the CPU. */
#include <stdint.h>
#include <tvm/ffi/c_api.h>

#include "autokd_student.h"

static const DLTensor *tensor_of(const TVMFFIAny *argument) {
    if (argument->type_index == kTVMFFIDLTensorPtr) return argument->v_ptr;
    if (argument->type_index == kTVMFFITensor) return (const DLTensor *)(argument->v_obj + 1); /* behind the object's head */
    return NULL;
}

/* Return the numbers of a tensor that lies as this engine reads and writes it; NULL for any other. */
static float *numbers_of(const TVMFFIAny *argument, int64_t count) {
    const DLTensor *tensor = tensor_of(argument);
    int64_t held = 1;
    if (!tensor || tensor->device.device_type != kDLCPU || tensor->dtype.code != kDLFloat || tensor->dtype.bits != 32 || tensor->dtype.lanes != 1)
        return NULL;
    for (int i = tensor->ndim; i-- > 0;) {
        if (tensor->strides && tensor->shape[i] > 1 && tensor->strides[i] != held) return NULL;
        held *= tensor->shape[i];
    }
    return held == count ? (float *)((char *)tensor->data + tensor->byte_offset) : NULL;
}

__attribute__((visibility("default"))) int __tvm_ffi_autokd_run(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
    (void)self;
    const float *image = count == 2 ? numbers_of(&arguments[0], (int64_t)AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH) : NULL;
    float *logits = count == 2 ? numbers_of(&arguments[1], AUTOKD_CLASSES) : NULL;
    if (!image || !logits) {
        TVMFFIErrorSetRaisedFromCStr("ValueError", "autokd_run takes two float32 tensors of the CPU without gaps: an image and its logits");
        return -1;
    }
    result->type_index = kTVMFFINone;
    return autokd_run(image, logits);
}
