// The bytes of messages between a run and its workers: numbers in the machine's order, texts and lists behind
// their length. Both ends are of one version of this program on one kind of machine.
//
// What a message holds is written down once, for both directions:
//   template <typename Archive> void Fields(Archive& archive, Reply& reply) { archive(reply.turn,
//   reply.text); }
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace throng::workers {

template <typename T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class Writer {
 public:
  template <typename... Values>
  void operator()(const Values&... values) {
    (Put(values), ...);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  template <Plain T>
  void Put(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Put(const std::string& text) {
    Put(uint64_t{text.size()});
    bytes_.append(text);
  }
  template <typename T>
  void Put(const std::vector<T>& items) {
    Put(uint64_t{items.size()});
    for (const T& item : items) Put(item);
  }
  template <typename A, typename B>
  void Put(const std::pair<A, B>& pair) {
    (*this)(pair.first, pair.second);
  }
  template <typename T>
  void Put(const std::optional<T>& value) {
    Put(value.has_value());
    if (value) Put(*value);
  }
  template <typename T>
  requires(!Plain<T>) void Put(const T& value) {
    Fields(*this, const_cast<T&>(value));  // Fields only reads what a writer gets
  }

  std::string bytes_;
};

// Throws kCorrupt for bytes that end too early.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename... Values>
  void operator()(Values&... values) {
    (Get(values), ...);
  }

 private:
  std::string_view Next(uint64_t size) {
    if (size > bytes_.size())
      throw Error(ErrorCode::kCorrupt, "a message between run and worker is cut short");
    const std::string_view next = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return next;
  }
  uint64_t Size() {
    uint64_t size = 0;
    Get(size);
    if (size > bytes_.size()) Next(size);  // an item has a byte at least
    return size;
  }
  template <Plain T>
  void Get(T& value) {
    std::memcpy(&value, Next(sizeof(value)).data(), sizeof(value));
  }
  void Get(std::string& text) { text = Next(Size()); }
  template <typename T>
  void Get(std::vector<T>& items) {
    items.resize(Size());
    for (T& item : items) Get(item);
  }
  template <typename A, typename B>
  void Get(std::pair<A, B>& pair) {
    (*this)(pair.first, pair.second);
  }
  template <typename T>
  void Get(std::optional<T>& value) {
    bool has_value = false;
    Get(has_value);
    if (has_value) Get(value.emplace());
  }
  template <typename T>
  requires(!Plain<T>) void Get(T& value) { Fields(*this, value); }

  std::string_view bytes_;
};

template <typename T>
std::string Encode(const T& value) {
  Writer writer;
  writer(value);
  return writer.Take();
}

template <typename T>
T Decode(std::string_view bytes) {
  T value;
  Reader reader(bytes);
  reader(value);
  return value;
}

}  // namespace throng::workers
