// What kernels, devices and the emulation share.
#pragma once

#ifdef __CUDACC__
#define THRONG_DEVICE __device__ __forceinline__
#define THRONG_UNROLL _Pragma("unroll")
#define THRONG_NO_UNROLL _Pragma("unroll 1")
#define THRONG_PRAGMA(text) _Pragma(#text)
#define THRONG_UNROLL_BY(count) THRONG_PRAGMA(unroll count)
#else
#define THRONG_DEVICE inline
#define THRONG_UNROLL
#define THRONG_NO_UNROLL
#define THRONG_UNROLL_BY(count)
#endif

namespace throng::device {

inline constexpr int kWarpThreads = 32;

// Where in a kernel's source threads wait for each other. Empty on a GPU.
struct Site {
#ifdef __CUDACC__
  static constexpr THRONG_DEVICE Site Here() { return {}; }
#else
  const char* file;
  int line;
  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
#endif
};

struct Index3 {
  int x, y, z;
};

}  // namespace throng::device
