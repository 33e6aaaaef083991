#include "model/gguf/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {
static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

namespace {

// Calls visit(number) with element i of packed numbers, in its own type; bool counts as uint8.
template <typename Visitor>
auto VisitNumber(GgufType type, const uint8_t* raw, uint64_t i, Visitor visit) {
  const uint8_t* p = raw + i * ScalarBytes(type);
  switch (type) {
    case GgufType::kInt8:
      return visit(LoadAs<int8_t>(p));
    case GgufType::kUint16:
      return visit(LoadAs<uint16_t>(p));
    case GgufType::kInt16:
      return visit(LoadAs<int16_t>(p));
    case GgufType::kUint32:
      return visit(LoadAs<uint32_t>(p));
    case GgufType::kInt32:
      return visit(LoadAs<int32_t>(p));
    case GgufType::kFloat32:
      return visit(LoadAs<float>(p));
    case GgufType::kUint64:
      return visit(LoadAs<uint64_t>(p));
    case GgufType::kInt64:
      return visit(LoadAs<int64_t>(p));
    case GgufType::kFloat64:
      return visit(LoadAs<double>(p));
    default:
      return visit(*p);
  }
}

bool IsFloat(GgufType type) { return type == GgufType::kFloat32 || type == GgufType::kFloat64; }
bool IsInteger(GgufType type) { return ScalarBytes(type) > 0 && !IsFloat(type) && type != GgufType::kBool; }

}  // namespace

std::string TensorInfo::Shape() const {
  std::string out = "[";
  for (int i = 0; i < num_dims; ++i) out += fmt::format("{}{}", i ? ", " : "", dims[i]);
  return out + "]";
}

GgufFile::GgufFile(const std::string& path, GgufUse use, Alone) : name_(path) {
  mapped_.emplace_back(path);
  Parse(mapped_.back().Bytes(), use);
}

GgufFile::GgufFile(const std::string& path, GgufUse use) : GgufFile(path, use, Alone()) {
  if (UintOr("split.count", 1) > 1) JoinParts(use);
}

GgufFile::GgufFile(std::span<const uint8_t> bytes, std::string name, GgufUse use) : name_(std::move(name)) {
  Parse(bytes, use);
  if (UintOr("split.count", 1) > 1) {
    throw MakeError(ErrorCode::kUnsupported, "{}: is one of several parts of a model, which must be files",
                    name_);
  }
}

GgufFile::GgufFile(GgufContent content)
    : name_(content.name), content_(std::make_unique<const GgufContent>(std::move(content))) {
  Parse(content_->metadata, GgufUse::kAll);
  for (const GgufContent::Tensor& tensor : content_->tensors) AddTensor(tensor);
}

void GgufFile::AddTensor(const GgufContent::Tensor& tensor) {
  TensorInfo info{tensor.name,
                  tensor.type,
                  static_cast<int>(tensor.dims.size()),
                  {1, 1, 1, 1},
                  TensorBytes(tensor.type, tensor.dims),
                  tensor.made.empty() ? tensor.data : std::span<const uint8_t>(tensor.made)};
  THRONG_CHECK(tensor.dims.size() <= info.dims.size());
  std::ranges::copy(tensor.dims, info.dims.begin());
  THRONG_CHECK(info.data.size() == info.bytes);
  if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
    throw MakeError(ErrorCode::kCorrupt, "{}: two tensors make {}", name_, Quoted(tensor.name));
  }
  tensors_.push_back(info);
}

const GgufFile::Value& GgufFile::Find(std::string_view key) const {
  const auto it = values_.find(key);
  if (it == values_.end())
    throw MakeError(ErrorCode::kCorrupt, "{}: lacks the metadata key {}", name_, Quoted(key));
  return it->second;
}

void GgufFile::WrongKind(std::string_view key, const Value& value, const char* expected) const {
  throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}{}; {} is expected", name_, Quoted(key),
                  value.is_array ? "an array of " : "", TypeName(value.type), expected);
}

const GgufFile::Value& GgufFile::Scalar(std::string_view key) const {
  const Value& value = Find(key);
  if (value.is_array) WrongKind(key, value, "a single value");
  return value;
}

const GgufFile::Value& GgufFile::Array(std::string_view key) const {
  const Value& value = Find(key);
  if (!value.is_array) WrongKind(key, value, "an array");
  return value;
}

uint64_t GgufFile::Uint(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an integer");
  return VisitNumber(value.type, value.raw.data(), 0, [&](auto number) -> uint64_t {
    if constexpr (std::is_signed_v<decltype(number)>) {
      if (number < 0)
        throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}, below zero", name_, Quoted(key), number);
    }
    return static_cast<uint64_t>(number);
  });
}

int64_t GgufFile::Int(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an integer");
  return VisitNumber(value.type, value.raw.data(), 0, [&](auto number) -> int64_t {
    if constexpr (std::is_same_v<decltype(number), uint64_t>) {
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}, too large", name_, Quoted(key), number);
      }
    }
    return static_cast<int64_t>(number);
  });
}

double GgufFile::Float(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsFloat(value.type) && !IsInteger(value.type)) WrongKind(key, value, "a number");
  return VisitNumber(value.type, value.raw.data(), 0,
                     [](auto number) { return static_cast<double>(number); });
}

bool GgufFile::Bool(std::string_view key) const {
  const Value& value = Scalar(key);
  if (value.type != GgufType::kBool) WrongKind(key, value, "a bool");
  return value.raw[0] != 0;
}

std::string_view GgufFile::String(std::string_view key) const {
  const Value& value = Scalar(key);
  if (value.type != GgufType::kString) WrongKind(key, value, "a string");
  return {reinterpret_cast<const char*>(value.raw.data()), value.raw.size()};
}

uint64_t GgufFile::UintOr(std::string_view key, uint64_t fallback) const {
  return Has(key) ? Uint(key) : fallback;
}
int64_t GgufFile::IntOr(std::string_view key, int64_t fallback) const {
  return Has(key) ? Int(key) : fallback;
}
double GgufFile::FloatOr(std::string_view key, double fallback) const {
  return Has(key) ? Float(key) : fallback;
}
bool GgufFile::BoolOr(std::string_view key, bool fallback) const { return Has(key) ? Bool(key) : fallback; }
std::string_view GgufFile::StringOr(std::string_view key, std::string_view fallback) const {
  return Has(key) ? String(key) : fallback;
}

bool GgufFile::IsArray(std::string_view key) const { return Has(key) && Find(key).is_array; }

const std::vector<std::string_view>& GgufFile::Strings(std::string_view key) const {
  const Value& value = Array(key);
  if (value.type != GgufType::kString) WrongKind(key, value, "an array of strings");
  return value.strings;
}

std::vector<int64_t> GgufFile::Ints(std::string_view key) const {
  const Value& value = Array(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an array of integers");
  std::vector<int64_t> out(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    out[i] = VisitNumber(value.type, value.raw.data(), i,
                         [](auto number) { return static_cast<int64_t>(number); });
  }
  return out;
}

std::vector<float> GgufFile::Floats(std::string_view key) const {
  const Value& value = Array(key);
  if (!IsFloat(value.type)) WrongKind(key, value, "an array of floats");
  std::vector<float> out(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    out[i] =
        VisitNumber(value.type, value.raw.data(), i, [](auto number) { return static_cast<float>(number); });
  }
  return out;
}

std::vector<bool> GgufFile::Bools(std::string_view key) const {
  const Value& value = Array(key);
  if (IsInteger(value.type)) {
    const std::vector<int64_t> numbers = Ints(key);
    return {numbers.begin(), numbers.end()};
  }
  if (value.type != GgufType::kBool) WrongKind(key, value, "an array of bools");
  return {value.raw.begin(), value.raw.end()};
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace throng::model
