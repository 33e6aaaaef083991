// Numbers and texts as bytes, little-endian, for what this program writes down and reads back. Hashing is in
// digest.h.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/digest.h"
#include "base/error.h"

namespace throng {

static_assert(std::endian::native == std::endian::little);

template <typename T>
concept PlainNumber = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class ByteWriter {
 public:
  template <PlainNumber T>
  ByteWriter& Add(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  ByteWriter& Add(std::string_view text) {
    Add(uint64_t{text.size()});
    bytes_.append(text);
    return *this;
  }
  ByteWriter& Add(const Digest& digest) { return Add(digest.high).Add(digest.low); }

  size_t Size() const { return bytes_.size(); }
  std::string Take() { return std::exchange(bytes_, {}); }

 private:
  std::string bytes_;
};

// Every Get throws kCorrupt where the bytes end too early, and allocates no more than there are bytes for.
class ByteReader {
 public:
  // bytes must outlive this.
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <PlainNumber T>
  T Get() {
    T value;
    std::memcpy(&value, Take(sizeof(value)).data(), sizeof(value));
    return value;
  }
  bool GetBool() { return Get<uint8_t>() != 0; }
  std::string_view GetText() { return Take(Get<uint64_t>()); }
  Digest GetDigest() {
    const auto high = Get<uint64_t>();
    return {high, Get<uint64_t>()};
  }
  // A count of things that take at least so many bytes each.
  size_t GetCount(size_t bytes_each) {
    const auto count = Get<uint64_t>();
    if (count > bytes_.size() / bytes_each) EndsTooEarly();
    return count;
  }

  bool IsAtEnd() const { return bytes_.empty(); }

 private:
  std::string_view Take(uint64_t size) {
    if (size > bytes_.size()) EndsTooEarly();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  [[noreturn]] static void EndsTooEarly() { throw Error(ErrorCode::kCorrupt, "the bytes end too early"); }

  std::string_view bytes_;
};

}  // namespace throng
