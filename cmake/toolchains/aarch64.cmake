# 64-bit ARM with Debian's cross compiler (g++-aarch64-linux-gnu), run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# Headers that are the same for every architecture are this machine's own: the cross compiler looks
# into /usr/include behind its own folders. xsimd is one, though its package file lies where those
# of an architecture lie.
file(GLOB weir_xsimd_folders /usr/lib/*/cmake/xsimd)
list(APPEND CMAKE_PREFIX_PATH ${weir_xsimd_folders})
