/*
 * full_disk.c
 *	  A disk that is full, for the tests: preloaded (LD_PRELOAD) into a server, it lets no file below a folder grow while another file is there.
 *
 *	  FULL_DISK_FOLDER  files below this folder are meant
 *	  FULL_DISK_MARK    while there is such a file they do not grow: ENOSPC
 *
 * A small file system of its own would do the same, but only root may mount one, and tests run without rights. What PostgreSQL sees is what
 * a full file system says: whatever is there already can be read and written over.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static bool
is_below(int fd, const char *folder)
{
	char link[64];
	char path[PATH_MAX];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	return length > 0 && strncmp(path, folder, strlen(folder)) == 0;
}

/* Would this make a file grow that must not? */
static bool
is_too_much(int fd, long long end)
{
	const char *folder = getenv("FULL_DISK_FOLDER");
	const char *mark = getenv("FULL_DISK_MARK");
	struct stat there;

	if (folder == NULL || mark == NULL || access(mark, F_OK) != 0 || !is_below(fd, folder))
		return false;
	return fstat(fd, &there) == 0 && end > (long long) there.st_size;
}

static long long
bytes_of(const struct iovec *vector, int count)
{
	long long bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += (long long) vector[i].iov_len;
	return bytes;
}

/* One of these and its 64-bit name, whichever a program was linked with; off_t has 64 bits where the tests run. */
#define WRITE(name)                                                                                          \
	ssize_t name(int fd, const void *bytes, size_t count, off_t at)                                          \
	{                                                                                                        \
		static ssize_t (*next)(int, const void *, size_t, off_t);                                            \
                                                                                                             \
		if (next == NULL)                                                                                    \
			*(void **) &next = dlsym(RTLD_NEXT, #name);                                                      \
		if (is_too_much(fd, (long long) at + (long long) count))                                             \
		{                                                                                                    \
			errno = ENOSPC;                                                                                  \
			return -1;                                                                                       \
		}                                                                                                    \
		return next(fd, bytes, count, at);                                                                   \
	}

#define WRITE_VECTOR(name)                                                                                   \
	ssize_t name(int fd, const struct iovec *vector, int count, off_t at)                                    \
	{                                                                                                        \
		static ssize_t (*next)(int, const struct iovec *, int, off_t);                                       \
                                                                                                             \
		if (next == NULL)                                                                                    \
			*(void **) &next = dlsym(RTLD_NEXT, #name);                                                      \
		if (is_too_much(fd, (long long) at + bytes_of(vector, count)))                                       \
		{                                                                                                    \
			errno = ENOSPC;                                                                                  \
			return -1;                                                                                       \
		}                                                                                                    \
		return next(fd, vector, count, at);                                                                  \
	}

#define ALLOCATE(name)                                                                                       \
	int name(int fd, off_t at, off_t count)                                                                  \
	{                                                                                                        \
		static int (*next)(int, off_t, off_t);                                                               \
                                                                                                             \
		if (next == NULL)                                                                                    \
			*(void **) &next = dlsym(RTLD_NEXT, #name);                                                      \
		return is_too_much(fd, (long long) at + (long long) count) ? ENOSPC : next(fd, at, count);           \
	}

WRITE(pwrite)
WRITE(pwrite64)
WRITE_VECTOR(pwritev)
WRITE_VECTOR(pwritev64)
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)
