// Which SIMD targets kernels are compiled for. Include before hwy/foreach_target.h, in every kernel's .cc.
//
// AVX2 with FMA is the floor for speed; the oldest target is there because the compiler's baseline has to be. AVX-512 without VNNI
// (Skylake) runs the AVX2 code: each target costs seconds of compile time per kernel.
#pragma once

#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3)
#endif
