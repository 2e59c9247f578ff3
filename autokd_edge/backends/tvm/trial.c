/* Times other tiles of a student's kernels against the rule's, each at its place in the network, and compares what they make.

   TRIAL SET SECONDS

   The network runs in turn with the rule's kernels and with those of a set, so that a slow spell of the machine meets
   both, and each kernel finds its data where the kernels before it left them. */
#include "timing.h"

#include <signal.h>
#include <sys/prctl.h>

enum { SETTLING_TURNS = 5, TURNS_LEAST = 20, TURNS_MOST = 1000 };
enum { PIXELS = AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH };

int autokd_step(int number);                      /* one kernel of the rule on what lies in the arena */
int autokd_try(int set, int number);              /* the same kernel in the tiles of a set */
int autokd_in(int set, int number);               /* whether a set has tiles for it */
void autokd_put(const float *image);              /* the image into the arena */
unsigned char *autokd_made(int number, long *bytes); /* where a kernel writes */

static float image[PIXELS];

static void step(int set, int number) {
    if (set ? autokd_try(set, number) : autokd_step(number)) fail("kernel %d refused its arguments", number);
}

/* Say whether both kernels of a step make the same bytes; the second one finds none of the first one's. */
static int same(int set, int number) {
    long bytes;
    unsigned char *made = autokd_made(number, &bytes), *kept = malloc((size_t)bytes);
    if (!kept) fail("no memory for %ld bytes", bytes);
    step(0, number);
    memcpy(kept, made, (size_t)bytes);
    memset(made, 0xa5, (size_t)bytes);
    step(set, number);
    int equal = !memcmp(kept, made, (size_t)bytes);
    memcpy(made, kept, (size_t)bytes); /* the next steps read what the rule makes */
    free(kept);
    return equal;
}

static void turn(int set, int64_t *samples, long number) {
    autokd_put(image);
    for (int i = 0; i < AUTOKD_STEPS; i++) {
        int64_t start = now_ns();
        step(set && autokd_in(set, i) ? set : 0, i);
        if (samples) samples[i * (long)TURNS_MOST + number] = now_ns() - start;
    }
}

static void compare(int set, double seconds) {
    size_t room = (size_t)AUTOKD_STEPS * TURNS_MOST * sizeof(int64_t);
    int64_t *rule = malloc(room), *tried = malloc(room);
    if (!rule || !tried) fail("no memory for the samples");
    static int equal[AUTOKD_STEPS];
    autokd_put(image);
    for (int i = 0; i < AUTOKD_STEPS; i++)
        if (autokd_in(set, i)) equal[i] = same(set, i);
        else step(0, i);
    for (int i = 0; i < SETTLING_TURNS; i++) turn(0, NULL, 0), turn(set, NULL, 0);
    long turns = 0;
    for (int64_t end = now_ns() + (int64_t)(seconds * 1e9); turns < TURNS_LEAST || (turns < TURNS_MOST && now_ns() < end); turns++)
        turn(0, rule, turns), turn(set, tried, turns);
    printf("{\"steps\":[");
    for (int i = 0, written = 0; i < AUTOKD_STEPS; i++)
        if (autokd_in(set, i))
            printf("%s{\"step\":%d,\"rule_ns\":%.0f,\"tried_ns\":%.0f,\"same\":%s}", written++ ? "," : "", i,
                   median(rule + i * (long)TURNS_MOST, turns), median(tried + i * (long)TURNS_MOST, turns), equal[i] ? "true" : "false");
    printf("]}\n");
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody may measure next to an orphan */
    if (!AUTOKD_HAS) fail("these kernels need a processor with %s; the one here lacks something of it", AUTOKD_NEEDS);
    if (count != 3 || atoi(arguments[1]) < 1) fail("usage: %s SET SECONDS", arguments[0]);
    pin();
    fill(image, PIXELS);
    compare(atoi(arguments[1]), atof(arguments[2]));
    if (fflush(stdout)) fail("the answer could not be written");
    return 0;
}
