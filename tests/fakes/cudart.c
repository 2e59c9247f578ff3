/* A stand-in for libcudart, for tests only: the GPU's memory is this machine's. It keeps account of what was allocated and
   refuses, with the statuses of the real one, a copy from or to anything else. FAKE_CUDA_MEMORY are the bytes there are. */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DIRECTION = 21, MOST = 64 };
static struct { char *start; size_t size; } given[MOST];
static size_t count, used;

/* Bytes from an address to the end of what was allocated there; 0 where nothing was. */
size_t fakeBytesAt(const void *address)
{
    for (size_t i = 0; i < count; i++)
        if ((char *)address >= given[i].start && (char *)address < given[i].start + given[i].size)
            return given[i].size - (size_t)((char *)address - given[i].start);
    return 0;
}

int cudaMalloc(void **address, size_t size)
{
    const char *memory = getenv("FAKE_CUDA_MEMORY");
    if (count == MOST || (memory && used + size > strtoull(memory, NULL, 10)))
        return OUT_OF_MEMORY;
    given[count].start = *address = malloc(size);
    given[count++].size = size;
    used += size;
    return SUCCESS;
}

int cudaMemcpy(void *to, const void *from, size_t size, int kind)
{
    if (kind != 1 && kind != 2)
        return INVALID_DIRECTION;
    if (fakeBytesAt(kind == 1 ? to : from) < size || fakeBytesAt(kind == 1 ? from : to) != 0)
        return INVALID_VALUE;
    memcpy(to, from, size);
    return SUCCESS;
}

const char *cudaGetErrorString(int status)
{
    switch (status) {
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case INVALID_DIRECTION: return "invalid copy direction for memcpy";
    default: return "no error";
    }
}
