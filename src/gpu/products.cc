#include "gpu/products.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "device/kernels/all_kernels.h"

namespace throng::gpu {
namespace {

using device::KernelId;
int Blocks(int count, int of_block) { return (count + of_block - 1) / of_block; }

// Null if the device has none.
const device::WeightKernels* FindWeightKernels(model::TensorType type) {
  const auto* found =
      std::ranges::find(device::kWeightKernels, model::TensorTypeName(type), &device::WeightKernels::format);
  return found == std::end(device::kWeightKernels) ? nullptr : found;
}

}  // namespace

DeviceMatrix::DeviceMatrix(device::Device& device, const model::Matrix& matrix, std::string_view what)
    : kernels_(FindWeightKernels(matrix.type)),
      outputs_(static_cast<int>(matrix.rows)),
      cols_(static_cast<int>(matrix.cols)),
      row_bytes_(static_cast<int64_t>(matrix.RowBytes())) {
  if (kernels_ == nullptr) {
    throw MakeError(
        ErrorCode::kUnsupported,
        "{}: {} has no kernels for {} (it has those for Q8_0, Q4_0, MXFP4, Q4_K, Q6_K, F16, BF16 and F32)",
        what, device.Name(), model::TensorTypeName(matrix.type));
  }
  constexpr auto kMost = static_cast<size_t>(std::numeric_limits<int>::max());
  if (matrix.in_strips || matrix.parts != 1 || matrix.scales != nullptr || matrix.cols % 8 != 0 ||
      matrix.rows > kMost || matrix.cols > kMost) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: {} multiplies single matrices without scales, of a multiple of 8 columns", what,
                    device.Name());
  }
  bytes_ = std::make_shared<device::DeviceArray<uint8_t>>(
      device, std::span<const uint8_t>(matrix.data, matrix.Bytes()));
}

DeviceMatrix DeviceMatrix::Rows(int first, int count) const {
  THRONG_CHECK(first >= 0 && count >= 0 && first + count <= outputs_);
  DeviceMatrix rows = *this;
  rows.first_ += first;
  rows.outputs_ = count;
  return rows;
}

Multiplier::Multiplier(device::Device& device)
    : device_(device),
      rounded_{{Buffer<int8_t>(device), Buffer<float>(device), Buffer<float>(device)},
               {Buffer<int8_t>(device), Buffer<float>(device), Buffer<float>(device)}} {}

void Multiplier::SetRows(const float* x, int rows, int cols) {
  x_ = x;
  rows_ = rows;
  cols_ = cols;
  rounded_terms_ = 0;
}

void Multiplier::Round(int terms) {
  if (rounded_terms_ >= terms) return;
  const auto elements = static_cast<size_t>(rows_) * static_cast<size_t>(cols_);
  const auto groups = static_cast<int64_t>(elements / device::kGroupWeights);
  device::RoundArgs args{.x = x_, .groups = groups, .out = {}, .left = {}};
  for (int term = 0; term < terms; ++term) {
    Rounded& to = rounded_[term];
    (term == 0 ? args.out : args.left) = {to.codes.Reserve(elements),
                                          to.scales.Reserve(static_cast<size_t>(groups)),
                                          to.sums.Reserve(static_cast<size_t>(groups))};
  }
  device_.Launch(KernelId::kRoundRows, {Blocks(static_cast<int>(groups), device::RoundRows::kWarps), 1, 1},
                 &args);
  rounded_terms_ = terms;
}

void Multiplier::Multiply(const DeviceMatrix& matrix, float* y, int64_t y_stride, bool fine) {
  THRONG_CHECK(matrix.Cols() == cols_);
  device::ProductArgs args{.weights = matrix.Data(),
                           .row_bytes = matrix.RowBytes(),
                           .outputs = matrix.Outputs(),
                           .cols = cols_,
                           .x = {},
                           .terms = fine ? 2 : 1,
                           .rows = rows_,
                           .x_rows = x_,
                           .y = y,
                           .y_stride = y_stride};
  if (matrix.Kernels().of_integers) {
    Round(args.terms);
    for (int term = 0; term < args.terms; ++term) {
      const Rounded& from = rounded_[term];
      args.x[term] = {from.codes.Data(), from.scales.Data(), from.sums.Data()};
    }
  }
  const device::ProductKernel& product = matrix.Kernels().ProductOf(rows_);
  device_.Launch(product.id, product.Grid(args.outputs, rows_), &args);
}

}  // namespace throng::gpu
