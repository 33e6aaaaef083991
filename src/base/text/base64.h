// Base64 (RFC 4648, section 4): with padding, without line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace throng {

std::string EncodeBase64(std::string_view bytes);

// Nothing if the text is not base64.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace throng
