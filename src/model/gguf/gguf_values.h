// What the reader of GGUF files and its parser share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "model/gguf/gguf.h"

namespace throng::model {

// Bytes of a fixed-size value; 0 for strings, arrays and unknown types.
size_t ScalarBytes(GgufType type);
// "uint8"; "unknown".
const char* TypeName(GgufType type);
// Keys and names come from the file: makes them short and printable for a message.
std::string Quoted(std::string_view text);

template <typename T>
T LoadAs(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace throng::model
