// The SIMD instructions that kernels use.
#pragma once

namespace throng {

// Limits kernels to the target that the environment variable THRONG_FORCE_TARGET names, such as AVX2, to try
// what other machines have; without AMX, unless it is AMX, which means the best with AMX (amx.h). Without it,
// or if it is empty, they use the best of this machine. To be called before any kernel runs. Throws kInvalid
// for a target that this machine or this program lacks.
void ApplyForcedTarget();

// Whether the target AVX3_DL may use AVX512_BF16 here, which multiplies pairs of BF16.
bool HasBfloatProducts();

}  // namespace throng
