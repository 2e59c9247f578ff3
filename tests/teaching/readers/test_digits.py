from autokd_edge.teaching.data import data_source


def test_every_fifth_of_the_real_digits_is_for_the_test():
    source = data_source("digits")
    data, test = source.teaching(), source.test()
    assert (len(data.train), len(data.validation), len(test)) == (1137, 300, 360)
    assert (data.image, data.classes) == ((1, 8, 8), tuple("0123456789"))
    development = {image.tobytes() for image in (*data.train.images, *data.validation.images)}
    assert len(development & {image.tobytes() for image in test.images}) < 4  # a digit may be drawn alike twice
