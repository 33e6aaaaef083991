#include "model/load/tensors.h"

#include <fmt/ranges.h>

#include <charconv>
#include <map>

#include "base/error.h"
#include "model/matmul/block_formats.h"

namespace throng::model {
namespace {

constexpr size_t kMostOnes = size_t{1} << 28;

}  // namespace

void RefuseUnknownTypes(const GgufFile& file, Refusals& refusals) {
  std::map<TensorType, std::vector<std::string_view>> names_of_types;
  for (const TensorInfo& tensor : file.Tensors()) {
    if (!BlockSizeOf(tensor.type)) names_of_types[tensor.type].push_back(tensor.name);
  }
  for (const auto& [type, names] : names_of_types) {
    refusals.Add(MakeError(ErrorCode::kUnsupported, "{}: {} of {}; {} can be computed with", file.Name(),
                           NamesAre("tensor", names), TensorTypeName(type), TensorTypeNames()));
  }
}

const TensorInfo* Tensors::Find(const std::string& name, std::initializer_list<int> dims) const {
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
    refusals_.Add(MakeError(ErrorCode::kCorrupt, "{}: tensor {} is missing; shape {} is expected",
                            file_.Name(), name, shape()));
    return nullptr;
  }
  used_.insert(tensor->name);
  if (tensor->dims != expected) {
    refusals_.Add(MakeError(ErrorCode::kCorrupt, "{}: tensor {} has shape {}; {} is expected", file_.Name(),
                            name, tensor->Shape(), shape()));
    return nullptr;
  }
  return BlockSizeOf(tensor->type) ? tensor : nullptr;  // unknown types are refused by now
}

Matrix Tensors::FindRows(const std::string& name, std::initializer_list<int> dims, int rows, int cols) const {
  Matrix matrix{TensorType::kF32, static_cast<size_t>(rows), static_cast<size_t>(cols)};
  if (const TensorInfo* tensor = Find(name, dims)) {
    matrix.type = tensor->type;
    matrix.data = tensor->data.data();
  }
  return matrix;
}

void Tensors::FindScales(const std::string& name, Matrix& matrix) const {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight)) return;
  const std::string base = name.substr(0, name.size() - kWeight.size());
  // Beside a router the name stands for something else: factors of what it reads.
  if (base.ends_with(".ffn_gate_inp")) return;
  Ignore(base + ".input_scale");
  if (!Has(base + ".scale")) return;
  const TensorInfo* scales = Find(base + ".scale", {static_cast<int>(matrix.parts)});
  if (scales == nullptr) return;
  if (scales->type != TensorType::kF32) {
    refusals_.Add(MakeError(ErrorCode::kUnsupported, "{}: tensor {} is {}; scales are F32", file_.Name(),
                            scales->name, TensorTypeName(scales->type)));
    return;
  }
  if (!scales->data.empty()) matrix.scales = reinterpret_cast<const float*>(scales->data.data());
}

Matrix Tensors::FindTable(const std::string& name, int rows, int cols) const {
  return FindRows(name, {cols, rows}, rows, cols);
}

Matrix Tensors::FindMatrix(const std::string& name, int rows, int cols) const {
  Matrix matrix = FindRows(name, {cols, rows}, rows, cols);
  FindScales(name, matrix);
  return matrix;
}

Matrix Tensors::FindExperts(const std::string& name, int experts, int rows, int cols) const {
  Matrix matrix = FindRows(name, {cols, rows, experts}, rows, cols);
  matrix.rows *= static_cast<size_t>(experts);
  matrix.parts = static_cast<size_t>(experts);
  FindScales(name, matrix);
  return matrix;
}

std::vector<float> Tensors::FindFloats(const std::string& name, std::initializer_list<int> dims) const {
  size_t count = 1;
  for (const int dim : dims) count *= static_cast<size_t>(dim);
  const TensorInfo* tensor = Find(name, dims);
  if (tensor == nullptr || tensor->data.empty()) return Ones(name, count);
  std::vector<float> out(count);
  DequantizeRow(tensor->type, tensor->data.data(), out.size(), out.data());
  return out;
}

// Ones are what norms, scales and factors of frequencies are where they change nothing.
std::vector<float> Tensors::Ones(const std::string& name, size_t count) const {
  // The size of a file bounds what is read from it; nothing but this bounds what a header claims.
  if (count > kMostOnes - num_ones_) {
    throw MakeError(ErrorCode::kCorrupt, "{}: vectors up to tensor {} have more than {} elements together",
                    file_.Name(), name, kMostOnes);
  }
  num_ones_ += count;
  return std::vector<float>(count, 1.0f);
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

void Tensors::IgnoreBlocks(int first, int end) const {
  constexpr std::string_view kPrefix = "blk.";
  for (const TensorInfo& tensor : file_.Tensors()) {
    if (!tensor.name.starts_with(kPrefix)) continue;
    const std::string_view number = tensor.name.substr(kPrefix.size());
    int block = -1;
    const auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), block);
    if (error != std::errc() || rest == number.data() + number.size() || *rest != '.') continue;
    if (block >= first && block < end) used_.insert(tensor.name);
  }
}

void Tensors::RefuseOthers() const {
  std::vector<std::string_view> others;
  for (const TensorInfo& tensor : file_.Tensors()) {
    if (!used_.contains(tensor.name)) others.push_back(tensor.name);
  }
  if (others.empty()) return;
  refusals_.Add(MakeError(ErrorCode::kUnsupported, "{}: {} not among those that '{}' is computed with",
                          file_.Name(), NamesAre("tensor", others), file_.String("general.architecture")));
}

}  // namespace throng::model
