#include "model/load/tensors.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "model/matmul/block_formats.h"

namespace throng::model {

const TensorInfo& Tensors::Find(const std::string& name, std::initializer_list<int> dims) const {
  // As the file sees them: ones at the end are not written.
  std::array<uint64_t, 4> expected{1, 1, 1, 1};
  std::ranges::copy(dims, expected.begin());
  const auto shape = [&] {
    size_t count = dims.size();
    while (count > 1 && expected[count - 1] == 1) --count;
    return fmt::format("[{}]", fmt::join(std::span(expected).first(count), ", "));
  };
  const TensorInfo* tensor = file_.FindTensor(name);
  if (!tensor) {
    throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} is missing; shape {} is expected", file_.Name(), name,
                    shape());
  }
  if (tensor->dims != expected) {
    throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} has shape {}; {} is expected", file_.Name(), name,
                    tensor->Shape(), shape());
  }
  if (!BlockSizeOf(tensor->type)) {
    throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} has {}; {} can be computed with", file_.Name(),
                    name, TensorTypeName(tensor->type), TensorTypeNames());
  }
  used_.insert(tensor->name);
  return *tensor;
}

Matrix Tensors::FindMatrix(const std::string& name, int rows, int cols) const {
  const TensorInfo& tensor = Find(name, {cols, rows});
  return Matrix{tensor.type, static_cast<size_t>(rows), static_cast<size_t>(cols), tensor.data.data()};
}

Matrix Tensors::FindExperts(const std::string& name, int experts, int rows, int cols) const {
  const TensorInfo& tensor = Find(name, {cols, rows, experts});
  return Matrix{tensor.type, static_cast<size_t>(rows) * static_cast<size_t>(experts),
                static_cast<size_t>(cols), tensor.data.data(), false, static_cast<size_t>(experts)};
}

std::vector<float> Tensors::FindFloats(const std::string& name, std::initializer_list<int> dims) const {
  const TensorInfo& tensor = Find(name, dims);
  size_t count = 1;
  for (const int dim : dims) count *= static_cast<size_t>(dim);
  std::vector<float> out(count);
  DequantizeRow(tensor.type, tensor.data.data(), out.size(), out.data());
  return out;
}

std::vector<float> Tensors::FindVector(const std::string& name, int size) const {
  return FindFloats(name, {size});
}

std::vector<float> Tensors::FindVectorOrNone(const std::string& name, int size) const {
  return Has(name) ? FindVector(name, size) : std::vector<float>();
}

void Tensors::Ignore(std::string_view name) const {
  if (const TensorInfo* tensor = file_.FindTensor(name)) used_.insert(tensor->name);
}

void Tensors::IgnoreAll(std::string_view prefix) const {
  for (const TensorInfo& tensor : file_.Tensors()) {
    if (tensor.name.starts_with(prefix)) used_.insert(tensor.name);
  }
}

void Tensors::RefuseOthers() const {
  for (const TensorInfo& tensor : file_.Tensors()) {
    if (used_.contains(tensor.name)) continue;
    throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} is not among those that '{}' is computed with",
                    file_.Name(), tensor.name.substr(0, 100), file_.String("general.architecture"));
  }
}

}  // namespace throng::model
