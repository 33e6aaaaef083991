#include "model/gguf/gguf_writer.h"

#include <type_traits>

#include "base/check.h"
#include "base/error.h"

namespace throng::model {
namespace {

constexpr size_t kAlignment = 32;

template <typename T>
requires std::is_arithmetic_v<T> || std::is_enum_v<T>
void Append(std::vector<uint8_t>& out, T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

void Append(std::vector<uint8_t>& out, std::string_view text) {
  Append(out, uint64_t{text.size()});
  out.insert(out.end(), text.begin(), text.end());
}

template <typename T>
void AppendArray(std::vector<uint8_t>& out, GgufType type, std::span<const T> values) {
  Append(out, type);
  Append(out, uint64_t{values.size()});
  for (const T& value : values) Append(out, value);
}

template <typename T>
void AppendStrings(std::vector<uint8_t>& out, std::span<const T> values) {
  size_t bytes = sizeof(GgufType) + sizeof(uint64_t);
  for (const T& value : values) bytes += sizeof(uint64_t) + value.size();
  out.reserve(out.size() + bytes);
  AppendArray(out, GgufType::kString, values);
}

}  // namespace

void GgufWriter::Key(std::string_view key, GgufType type) {
  Append(values_, key);
  Append(values_, type);
  ++num_values_;
}

void GgufWriter::Add(std::string_view key, uint32_t value) {
  Key(key, GgufType::kUint32);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, int32_t value) {
  Key(key, GgufType::kInt32);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, uint64_t value) {
  Key(key, GgufType::kUint64);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, float value) {
  Key(key, GgufType::kFloat32);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, bool value) {
  Key(key, GgufType::kBool);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, std::string_view value) {
  Key(key, GgufType::kString);
  Append(values_, value);
}

void GgufWriter::Add(std::string_view key, std::span<const std::string> values) {
  Key(key, GgufType::kArray);
  AppendStrings(values_, values);
}

void GgufWriter::Add(std::string_view key, std::span<const std::string_view> values) {
  Key(key, GgufType::kArray);
  AppendStrings(values_, values);
}

void GgufWriter::Add(std::string_view key, std::span<const float> values) {
  Key(key, GgufType::kArray);
  AppendArray(values_, GgufType::kFloat32, values);
}

void GgufWriter::Add(std::string_view key, std::span<const int32_t> values) {
  Key(key, GgufType::kArray);
  AppendArray(values_, GgufType::kInt32, values);
}

void GgufWriter::Add(std::string_view key, std::span<const bool> values) {
  Key(key, GgufType::kArray);
  AppendArray(values_, GgufType::kBool, values);
}

void GgufWriter::Copy(std::string_view key, const GgufFile& from) {
  const GgufFile::Value& value = from.Find(key);
  if (value.is_array && value.type == GgufType::kArray) {
    throw MakeError(ErrorCode::kUnsupported, "{}: key '{}' holds arrays in an array, which cannot be copied",
                    from.Name(), key);
  }
  Key(key, value.is_array ? GgufType::kArray : value.type);
  if (value.is_array && value.type == GgufType::kString) {
    AppendStrings(values_, std::span<const std::string_view>(value.strings));
    return;
  }
  if (value.is_array) {
    Append(values_, value.type);
    Append(values_, value.count);
  } else if (value.type == GgufType::kString) {
    Append(values_, uint64_t{value.raw.size()});
  }
  values_.insert(values_.end(), value.raw.begin(), value.raw.end());
}

uint64_t GgufWriter::Padding(uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

void GgufWriter::DeclareTensor(std::string_view name, TensorType type, std::span<const uint64_t> dims) {
  THRONG_CHECK(dims.size() <= 4);
  const uint64_t bytes = TensorBytes(type, dims);
  Append(infos_, name);
  Append(infos_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) Append(infos_, dim);
  Append(infos_, type);
  Append(infos_, data_size_);
  ++num_tensors_;
  data_size_ += bytes + Padding(bytes);
}

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::span<const uint64_t> dims,
                           std::span<const uint8_t> data) {
  THRONG_CHECK(TensorBytes(type, dims) == data.size());
  DeclareTensor(name, type, dims);
  data_.insert(data_.end(), data.begin(), data.end());
  data_.resize(data_size_);
}

std::vector<uint8_t> GgufWriter::Header() const {
  std::vector<uint8_t> out = {'G', 'G', 'U', 'F'};
  Append(out, uint32_t{3});
  Append(out, num_tensors_);
  Append(out, num_values_);
  out.insert(out.end(), values_.begin(), values_.end());
  out.insert(out.end(), infos_.begin(), infos_.end());
  out.resize(out.size() + Padding(out.size()));
  return out;
}

std::vector<uint8_t> GgufWriter::Finish() const {
  std::vector<uint8_t> out = Header();
  out.insert(out.end(), data_.begin(), data_.end());
  return out;
}

}  // namespace throng::model
