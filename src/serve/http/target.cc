#include "serve/http/target.h"

#include <algorithm>
#include <charconv>

#include "serve/http/text.h"

namespace throng::serve {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }

std::optional<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      unsigned value = 0;
      const char* const end = text.data() + std::min(i + 3, text.size());
      const auto [last, error] = std::from_chars(text.data() + i + 1, end, value, 16);
      if (error != std::errc() || last != text.data() + i + 3) return std::nullopt;
      c = static_cast<char>(value);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (IsControl(c)) return std::nullopt;
    decoded += c;
  }
  return decoded;
}

bool ParseQuery(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (part.empty()) continue;
    const size_t equals = std::min(part.find('='), part.size());
    auto name = Decode(part.substr(0, equals), true);
    auto value = Decode(part.substr(std::min(equals + 1, part.size())), true);
    if (!name || !value) return false;
    query.emplace(*std::move(name), *std::move(value));
  }
  return true;
}

}  // namespace

std::optional<Target> ParseTarget(std::string_view text) {
  Target target;
  if (text == "*") {
    target.path = text;
    return target;
  }
  if (const size_t scheme = text.find("://"); scheme != text.npos && !text.starts_with('/')) {
    const std::string name = LowerCase(text.substr(0, scheme));
    if (name != "http" && name != "https") return std::nullopt;
    text.remove_prefix(scheme + 3);
    const size_t path = std::min(text.find_first_of("/?"), text.size());
    target.authority = text.substr(0, path);
    if (target.authority.empty()) return std::nullopt;
    text.remove_prefix(path);
    if (!text.starts_with('/')) target.path = "/";
  } else if (!text.starts_with('/')) {
    return std::nullopt;
  }
  if (text.find('#') != text.npos) return std::nullopt;
  const size_t mark = std::min(text.find('?'), text.size());
  const auto path = Decode(text.substr(0, mark), false);
  if (!path) return std::nullopt;
  target.path += *path;
  if (!ParseQuery(text.substr(std::min(mark + 1, text.size())), target.query)) return std::nullopt;
  return target;
}

std::optional<std::string> HostOf(std::string_view authority) {
  std::string_view host = authority;
  std::string_view port;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == host.npos) return std::nullopt;
    port = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.") != host.npos) return std::nullopt;
  } else {
    const size_t colon = std::min(host.find(':'), host.size());
    port = host.substr(colon);
    host = host.substr(0, colon);
    const auto is_allowed = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
             c == '.' || c == '_';
    };
    if (!std::all_of(host.begin(), host.end(), is_allowed)) return std::nullopt;
  }
  if (!port.empty() && (port[0] != ':' || port.find_first_not_of("0123456789", 1) != port.npos)) {
    return std::nullopt;
  }
  if (host.empty()) return std::nullopt;
  return LowerCase(host);
}

}  // namespace throng::serve
