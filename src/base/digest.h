// Digests (XXH3, 128 bits) for journals, manifests and caches: they detect accidents and differences, not
// attacks.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace throng {

struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Digest&) const = default;
  // Adds modulo 2^128, so a sum of digests does not depend on their order.
  Digest& operator+=(const Digest& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
    return *this;
  }
  std::string Hex() const;  // 32 lower-case digits
};

// Hashes a sequence of typed values. Strings include their length, so that no two sequences run together.
// Short sequences, the common case, are buffered in place and hashed at once: no allocation, no call per
// value.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  // Inlined, so that the compiler knows the size of each number it copies.
  [[gnu::always_inline]] Hasher& Bytes(const void* data, size_t size) {
    if (size > buffer_.size() - size_) return Stream(data, size);
    std::memcpy(buffer_.data() + size_, data, size);
    size_ += size;
    return *this;
  }
  Hasher& Add(std::string_view text) {
    Add(static_cast<uint64_t>(text.size()));
    return Bytes(text.data(), text.size());
  }
  Hasher& Add(const char* text) { return Add(std::string_view(text)); }
  Hasher& Add(const Digest& digest) { return Add(digest.high).Add(digest.low); }
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T> Hasher& Add(T value) {
    return Bytes(&value, sizeof(value));
  }
  Digest Finish() const;
  Hasher& Reset();  // back to the initial state; keeps its allocation

 private:
  struct State;
  Hasher& Stream(const void* data, size_t size);

  std::array<unsigned char, 240> buffer_;
  size_t size_ = 0;  // equals the buffer's size once state_ has taken over the contents
  bool streams_ = false;
  std::unique_ptr<State> state_;  // created when the buffer overflows
};

Digest DigestOf(std::string_view bytes);

}  // namespace throng
