#include "model/folder/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/folder/json_file.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // of the format
constexpr size_t kMaxDims = 8;
constexpr int kMaxDepth = 3;  // tensors, their entries, lists in these

struct ElementType {
  std::string_view name;
  uint64_t bytes;
};
constexpr ElementType kElementTypes[] = {{"F64", 8},     {"F32", 4},     {"F16", 2},     {"BF16", 2},
                                         {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I64", 8},
                                         {"I32", 4},     {"I16", 2},     {"I8", 1},      {"U64", 8},
                                         {"U32", 4},     {"U16", 2},     {"U8", 1},      {"BOOL", 1}};

uint64_t LoadLength(std::span<const uint8_t> bytes) {
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length;
}

// Checks the entries of one file's header.
class HeaderReader {
 public:
  HeaderReader(const std::string& name, std::span<const uint8_t> data) : name_(name), data_(data) {}

  StoredTensor Read(const std::string& tensor, const nlohmann::json& entry) const {
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
        !entry.contains("shape") || !entry.contains("data_offsets")) {
      Fail(tensor, "lacks one of dtype, shape and data_offsets");
    }
    StoredTensor out{tensor, entry["dtype"].get<std::string>(), Numbers(tensor, entry["shape"]), {}};
    const std::vector<uint64_t> offsets = Numbers(tensor, entry["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      Fail(tensor,
           fmt::format("has data_offsets [{}]; a begin and an end within the {} bytes of data are expected",
                       fmt::join(offsets, ", "), data_.size()));
    }
    const uint64_t bytes = Bytes(out);
    if (bytes != offsets[1] - offsets[0]) {
      Fail(tensor, fmt::format("has {} bytes; {} of shape {} have {}", offsets[1] - offsets[0], out.dtype,
                               out.Shape(), bytes));
    }
    out.data = data_.subspan(offsets[0], bytes);
    return out;
  }

  // The format allows neither gaps nor two tensors that share bytes.
  void CheckOrder(const std::vector<StoredTensor>& tensors) const {
    const uint8_t* end = data_.data();
    for (const StoredTensor& tensor : tensors) {
      if (tensor.data.data() != end) {
        Fail(tensor.name, fmt::format("begins at byte {} of the data; the one before ends at {}",
                                      tensor.data.data() - data_.data(), end - data_.data()));
      }
      end += tensor.data.size();
    }
    const auto used = static_cast<size_t>(end - data_.data());
    if (used == data_.size()) return;
    throw MakeError(ErrorCode::kCorrupt, "{}: {} bytes of data belong to no tensor", name_,
                    data_.size() - used);
  }

 private:
  [[noreturn]] void Fail(std::string_view tensor, const std::string& what) const {
    throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} {}", name_, Quoted(tensor), what);
  }

  std::vector<uint64_t> Numbers(std::string_view tensor, const nlohmann::json& list) const {
    if (!list.is_array() || list.size() > kMaxDims)
      Fail(tensor, "has a shape or offsets that are no short list");
    std::vector<uint64_t> numbers;
    for (const nlohmann::json& number : list) {
      if (!number.is_number_unsigned()) Fail(tensor, "has a shape or offsets that are no whole numbers");
      numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
  }

  uint64_t Bytes(const StoredTensor& tensor) const {
    const auto* type = std::ranges::find(kElementTypes, tensor.dtype, &ElementType::name);
    if (type == std::end(kElementTypes)) {
      throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} has the type {}, which is unknown", name_,
                      Quoted(tensor.name), Quoted(tensor.dtype));
    }
    uint64_t bytes = type->bytes;
    for (const uint64_t dim : tensor.shape) {
      if (dim == 0 || dim > data_.size() / bytes) {
        Fail(tensor.name,
             fmt::format("has shape {}; the file has {} bytes of data", tensor.Shape(), data_.size()));
      }
      bytes *= dim;
    }
    return bytes;
  }

  const std::string& name_;
  const std::span<const uint8_t> data_;
};

}  // namespace

std::string StoredTensor::Shape() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<StoredTensor> ReadSafetensors(std::span<const uint8_t> bytes, const std::string& name) {
  const uint64_t length = bytes.size() < 8 ? 0 : LoadLength(bytes);
  if (length == 0 || length > kMaxHeaderBytes || length > bytes.size() - 8) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: claims a header of {} bytes in a file of {}; at most {} are allowed", name, length,
                    bytes.size(), kMaxHeaderBytes);
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  const nlohmann::json header = ParseJson(text, name, kMaxDepth);
  const HeaderReader reader(name, bytes.subspan(8 + length));
  std::vector<StoredTensor> tensors;
  for (const auto& [key, entry] : header.items()) {
    if (key != "__metadata__") tensors.push_back(reader.Read(key, entry));
  }
  std::ranges::stable_sort(tensors, {}, [](const StoredTensor& tensor) { return tensor.data.data(); });
  reader.CheckOrder(tensors);
  return tensors;
}

}  // namespace throng::model
