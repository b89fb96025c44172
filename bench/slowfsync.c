/* Counts fsync and fdatasync, and makes each of them slower by a fixed time.
 *
 * BENCH_FSYNC_COUNT     file of at least 8 bytes; its first 8 bytes are the counter, shared by all
 *                       processes of the service, so that a count can be read while it runs
 * BENCH_FSYNC_DELAY_US  microseconds to wait after each call, as a network volume does
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned long unshared_counter;
static _Atomic unsigned long *counter = &unshared_counter;
static struct timespec delay;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void map_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED)
        counter = page;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("BENCH_FSYNC_COUNT");
    const char *delay_us = getenv("BENCH_FSYNC_DELAY_US");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (path)
        map_counter(path);
    if (delay_us) {
        long us = atol(delay_us);
        delay.tv_sec = us / 1000000;
        delay.tv_nsec = us % 1000000 * 1000;
    }
}

static int finish(int result)
{
    int saved = errno;
    atomic_fetch_add(counter, 1);
    if (delay.tv_sec || delay.tv_nsec)
        nanosleep(&delay, NULL);
    errno = saved;
    return result;
}

int fsync(int fd)
{
    return finish(real_fsync(fd));
}

int fdatasync(int fd)
{
    return finish(real_fdatasync(fd));
}
