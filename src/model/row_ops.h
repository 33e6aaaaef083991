// A transformer's operations on single rows, between its matrix products. Each function is pure, in one fixed
// order of operations; an element's result does not depend on its place in a vector.
#pragma once

#include <cstddef>

namespace throng::model {

// out = x / sqrt(mean(x^2) + epsilon) * weight; out may be x.  x, weight, out: [n]; weight may be null: 1
void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out);
// out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias; out may be x, weight and bias null.
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out);

// x += y
void AddTo(float* x, const float* y, size_t n);
// x += factor * y
void AddScaled(float* x, const float* y, float factor, size_t n);
// x *= factor
void Scale(float* x, float factor, size_t n);
// x *= y
void MultiplyBy(float* x, const float* y, size_t n);
// The root of the sum of squares.
float Length(const float* x, size_t n);

// x = cap * tanh(x / cap)
void SoftCap(float* x, float cap, size_t n);
// x = max(x - cutoff, 0), where the cutoff is so many standard deviations (of a sample: with n - 1) above the
// mean of x.
void KeepOutliers(float* x, float deviations, size_t n);
// x *= sigmoid(gate)
void TimesSigmoid(float* x, const float* gate, size_t n);

enum class Activation {
  kSilu,      // x sigmoid(x)
  kGeluTanh,  // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  // As kGeluTanh, of x in half precision and then in half precision itself, for |x| < 10: what a table of
  // llama.cpp gives.
  kGeluTanhInHalves,
  kReluSquared,  // max(x, 0)^2
  // With a gate only (gpt-oss): x sigmoid(1.702 x) for x = min(gate, 7), times 1 + up, which is kept
  // within 7.
  kClampedSwiglu,
};

// gate = activation(gate) * up
void Gate(Activation activation, float* gate, const float* up, size_t n);
// x = activation(x)
void Activate(Activation activation, float* x, size_t n);

// Rotates the pairs of one head by the angles with the given cosines and sines.  cos, sin: [n / 2]
void RotateAdjacent(float* head, const float* cos, const float* sin, size_t n);  // pairs (2i, 2i + 1)
void RotateHalves(float* head, const float* cos, const float* sin, size_t n);    // pairs (i, i + n / 2)

}  // namespace throng::model
