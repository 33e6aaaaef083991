// The target's integer instructions that Highway does not wrap. THRONG_BEFORE_NAMESPACE and THRONG_ATTR (for
// lambdas) are HWY_BEFORE_NAMESPACE and HWY_ATTR plus these instructions; THRONG_INLINE_ATTR also keeps
// lambdas from becoming calls. Include once per target, before the kernels.
#if defined(THRONG_KV_VNNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_VNNI_INL_H_
#undef THRONG_KV_VNNI_INL_H_
#else
#define THRONG_KV_VNNI_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"

#undef THRONG_VNNI
#undef THRONG_AVX2
#undef THRONG_BEFORE_NAMESPACE
#undef THRONG_ATTR
#undef THRONG_INLINE_ATTR

// AVX-512 with VNNI and VBMI: sums of four products of unsigned and signed bytes. Highway's target leaves out
// the flag of VNNI.
#if HWY_TARGET == HWY_AVX3_DL
#define THRONG_VNNI 1
#define THRONG_BEFORE_NAMESPACE() HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#define THRONG_ATTR __attribute__((target(HWY_TARGET_STR ",avx512vnni")))
#else
#define THRONG_VNNI 0
#define THRONG_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#define THRONG_ATTR HWY_ATTR
#endif

#define THRONG_INLINE_ATTR THRONG_ATTR __attribute__((always_inline))

#if HWY_TARGET == HWY_AVX2
#define THRONG_AVX2 1
#else
#define THRONG_AVX2 0
#endif

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {

// Four bytes of weights, to fill every 32-bit lane.
HWY_INLINE int32_t FourBytes(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

#if THRONG_VNNI

// sum + four products of unsigned and signed bytes, in each 32-bit lane. V: __m512i or __m256i. Avoids the
// intrinsic, with which GCC 12 copies every sum of a loop to another register and back.
template <class V>
HWY_INLINE V AddFours(V sum, V unsigned_bytes, V signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
  return sum;
}

// sum + two products of signed words.
template <class V>
HWY_INLINE V AddTwos(V sum, V a, V b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

#endif  // THRONG_VNNI

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_VNNI_INL_H_
