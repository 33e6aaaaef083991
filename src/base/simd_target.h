// The SIMD instructions that kernels use.
#pragma once

namespace throng {

// Limits kernels to the target that the environment variable THRONG_FORCE_TARGET names, such as AVX2, to try
// what other machines have. Without it, or if it is empty, they use the best of this machine. To be called
// before any kernel runs. Throws kInvalid for a target that this machine or this program lacks.
void ApplyForcedTarget();

// True if kernels are to use Intel's matrix instructions for integers (AMX) beside those of AVX-512: the
// processor has them, the system lets this process use them, and AllowAmx did not say no. They give the bits
// of other targets. The first call asks the system.
bool UsesAmx();

// For tests and ApplyForcedTarget. True at the start.
void AllowAmx(bool allowed);

}  // namespace throng
