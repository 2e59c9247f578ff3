/* Classify a binary PGM or PPM image of 255 levels: classify IMAGE. An example for your own program. */
#include <math.h>
#include <stdio.h>

#include "autokd_card.h"
#include "autokd_student.h"

enum { PIXELS = AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH };

int main(int count, char **arguments) {
    static unsigned char pixels[PIXELS]; /* [height][width][channels] */
    static float image[PIXELS], logits[AUTOKD_CLASSES];
    int width, height, levels, best = 0;
    char kind;
    float sum = 0;
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file || fscanf(file, "P%c %d %d %d", &kind, &width, &height, &levels) != 4 || fgetc(file) == EOF) {
        fprintf(stderr, "usage: %s IMAGE, a binary PGM or PPM file\n", arguments[0]);
        return 2;
    }
    if (kind != (AUTOKD_CHANNELS == 1 ? '5' : '6') || width != AUTOKD_WIDTH || height != AUTOKD_HEIGHT || levels != 255 ||
        fread(pixels, 1, PIXELS, file) != PIXELS) {
        fprintf(stderr, "%s: must be %d x %d pixels of %d bytes\n", arguments[1], AUTOKD_WIDTH, AUTOKD_HEIGHT, AUTOKD_CHANNELS);
        return 2;
    }
    for (int c = 0; c < AUTOKD_CHANNELS; c++)
        for (int i = 0; i < AUTOKD_HEIGHT * AUTOKD_WIDTH; i++)
            image[c * AUTOKD_HEIGHT * AUTOKD_WIDTH + i] = (pixels[i * AUTOKD_CHANNELS + c] / 255.0f - autokd_mean[c]) / autokd_std[c];
    if (autokd_run(image, logits)) return 1;
    for (int k = 1; k < AUTOKD_CLASSES; k++)
        if (logits[k] > logits[best]) best = k;
    for (int k = 0; k < AUTOKD_CLASSES; k++) sum += expf(logits[k] - logits[best]);
    printf("%s: %s, %.1f %%\n", arguments[1], autokd_labels[best], 100 / sum);
    return 0;
}
