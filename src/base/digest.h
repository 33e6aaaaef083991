// Digests (XXH3, 128 bits) for journals, manifests and caches: they tell accidents and differences, not
// attacks.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace throng {

struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Digest&) const = default;
  // Adds modulo 2^128: a sum of digests does not depend on the order of what is summed.
  Digest& operator+=(const Digest& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
    return *this;
  }
  std::string Hex() const;  // 32 lower-case digits
};

// Hashes a sequence of typed values; strings carry their length, so that no two sequences run together.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& Bytes(const void* data, size_t size);
  Hasher& Add(std::string_view text);
  Hasher& Add(const char* text) { return Add(std::string_view(text)); }
  Hasher& Add(const Digest& digest);
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T> Hasher& Add(T value) {
    return Bytes(&value, sizeof(value));
  }
  Digest Finish() const;
  Hasher& Reset();  // as new, without a new allocation

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest DigestOf(std::string_view bytes);

}  // namespace throng
