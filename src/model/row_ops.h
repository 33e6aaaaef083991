// A transformer's operations on single rows, between its matrix products. Each function is pure, in one fixed
// order of operations; an element's result does not depend on its place in a vector.
#pragma once

#include <cstddef>

namespace throng::model {

// out = x / sqrt(mean(x^2) + epsilon) * weight; out may be x.  x, weight, out: [n]
void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out);

// x += y
void AddTo(float* x, const float* y, size_t n);
// x *= factor
void Scale(float* x, float factor, size_t n);

// gate = silu(gate) * up, or gelu (tanh form).
void GateSilu(float* gate, const float* up, size_t n);
void GateGelu(float* gate, const float* up, size_t n);

// Rotates the pairs of one head by the angles with the given cosines and sines.  cos, sin: [n / 2]
void RotateAdjacent(float* head, const float* cos, const float* sin, size_t n);  // pairs (2i, 2i + 1)
void RotateHalves(float* head, const float* cos, const float* sin, size_t n);    // pairs (i, i + n / 2)

}  // namespace throng::model
