// Run autokd_student.so in TVM's runtime on recorded samples, compare, and time it: runner INPUTS.npy LOGITS.npy TOLERANCE
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "autokd_student.h"

// Read the numbers of a float32 .npy file of version 1, as a bundle holds them.
static std::vector<float> numbers(const char *path) {
    std::ifstream file(path, std::ios::binary);
    char lead[10];
    if (!file.read(lead, 10)) throw std::runtime_error(std::string(path) + " could not be read");
    file.ignore((unsigned char)lead[8] | (unsigned char)lead[9] << 8);
    std::vector<float> found;
    for (float number; file.read((char *)&number, sizeof number);) found.push_back(number);
    return found;
}

int main(int count, char **arguments) try {
    if (count != 4) throw std::runtime_error("usage: runner INPUTS.npy LOGITS.npy TOLERANCE");
    const size_t pixels = AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH;
    std::vector<float> images = numbers(arguments[1]), expected = numbers(arguments[2]);
    if (images.empty() || images.size() % pixels || images.size() / pixels * AUTOKD_CLASSES != expected.size())
        throw std::runtime_error("inputs and logits must be of as many samples");
    tvm::ffi::Module student = tvm::ffi::Module::LoadFromFile("./autokd_student.so");
    tvm::ffi::Function run = student->GetFunction("autokd_run").value();
    float logits[AUTOKD_CLASSES];
    int64_t shapes[2][4] = {{1, AUTOKD_CHANNELS, AUTOKD_HEIGHT, AUTOKD_WIDTH}, {1, AUTOKD_CLASSES}};
    DLTensor image{nullptr, {kDLCPU, 0}, 4, {kDLFloat, 32, 1}, shapes[0], nullptr, 0};
    DLTensor result{logits, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shapes[1], nullptr, 0};
    std::vector<double> microseconds;
    double largest = 0;
    for (size_t i = 0; i < images.size() / pixels; i++) {
        image.data = &images[i * pixels];
        for (int turn = 0; turn < 50; turn++) {
            auto start = std::chrono::steady_clock::now();
            run(&image, &result);
            microseconds.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
        }
        for (int k = 0; k < AUTOKD_CLASSES; k++) largest = std::fmax(largest, std::fabs(logits[k] - expected[i * AUTOKD_CLASSES + k]));
    }
    std::nth_element(microseconds.begin(), microseconds.begin() + microseconds.size() / 2, microseconds.end());
    std::printf("in TVM's runtime: %zu samples, largest logit difference %.3g, median %.1f us\n", images.size() / pixels, largest,
                microseconds[microseconds.size() / 2]);
    return largest <= std::atof(arguments[3]) ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
