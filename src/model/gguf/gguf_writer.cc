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

void Pad(std::vector<uint8_t>& out) { out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment); }

template <typename T>
void AppendArray(std::vector<uint8_t>& out, GgufType type, std::span<const T> values) {
  Append(out, type);
  Append(out, uint64_t{values.size()});
  for (const T& value : values) Append(out, value);
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
  AppendArray(values_, GgufType::kString, values);
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
    AppendArray(values_, value.type, std::span<const std::string_view>(value.strings));
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

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::span<const uint64_t> dims,
                           std::span<const uint8_t> data) {
  const auto block = BlockSizeOf(type);
  THRONG_CHECK(block && !dims.empty() && dims.size() <= 4 && dims[0] % block->elements == 0);
  uint64_t bytes = dims[0] / block->elements * block->bytes;
  for (const uint64_t dim : dims.subspan(1)) bytes *= dim;
  THRONG_CHECK(bytes == data.size());
  Append(infos_, name);
  Append(infos_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) Append(infos_, dim);
  Append(infos_, type);
  Append(infos_, uint64_t{data_.size()});
  ++num_tensors_;
  data_.insert(data_.end(), data.begin(), data.end());
  Pad(data_);
}

std::vector<uint8_t> GgufWriter::Finish() const {
  std::vector<uint8_t> out = {'G', 'G', 'U', 'F'};
  Append(out, uint32_t{3});
  Append(out, num_tensors_);
  Append(out, num_values_);
  out.insert(out.end(), values_.begin(), values_.end());
  out.insert(out.end(), infos_.begin(), infos_.end());
  Pad(out);
  out.insert(out.end(), data_.begin(), data_.end());
  return out;
}

}  // namespace throng::model
