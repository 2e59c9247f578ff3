"""A quantiser's part of the program that quantises, without a quantiser: it notes what it was given."""


def quantized(model, name, samples, request):
    print("a progress bar")
    model.doc_string = f"{name}, {len(samples)} samples, saturates {request['int8_saturates']}, keeps {', '.join(request['keep'])}"
    return model
