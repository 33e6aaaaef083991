#include "journal/store/place.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace throng::journal {

namespace {

constexpr size_t kMaxName = 63;  // bytes that PostgreSQL keeps of a name
constexpr const char* kAllowed = "postgres://[USER@]HOST[:PORT]/DATABASE?journal=NAME";

std::vector<std::string_view> Split(std::string_view text, char mark) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t at = std::min(text.find(mark), text.size());
    parts.push_back(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return parts;
}

bool IsNameOf(std::string_view key, std::string_view option) {
  return option.substr(0, option.find('=')) == key;
}

// Of USER:PASSWORD@; a password may hold what should have been escaped.
bool HasPassword(std::string_view place) {
  const size_t at = place.rfind('@');
  return at != std::string_view::npos && place.find(':', place.find("://") + 3) < at;
}

bool IsAllowedName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [](unsigned char letter) {
           return std::isalnum(letter) != 0 || letter == '-' || letter == '_' || letter == '.';
         });
}

}  // namespace

Error PasswordRefused() {
  return MakeError(
      ErrorCode::kInvalid,
      "journal postgres://...: the address has a password, and addresses are shown and kept; allowed: "
      "$PGPASSWORD or the file ~/.pgpass, and an address without");
}

bool IsPostgres(const std::string& place) {
  return place.starts_with("postgres://") || place.starts_with("postgresql://");
}

std::string LastingPlace(const std::string& place) {
  return IsPostgres(place) ? place : std::filesystem::absolute(place).lexically_normal().string();
}

PostgresPlace ParsePostgres(const std::string& place) {
  PostgresPlace parsed{.place = place, .address = place.substr(0, place.find('?')), .name = {}};
  bool has_password = HasPassword(place);
  const std::string_view options =
      std::string_view(place).substr(std::min(parsed.address.size() + 1, place.size()));
  char before = '?';
  for (const std::string_view option : Split(options, '&')) {
    has_password = has_password || IsNameOf("password", option) || IsNameOf("sslpassword", option);
    if (IsNameOf("journal", option)) {
      parsed.name = option.substr(std::min(option.find('='), option.size() - 1) + 1);
    } else {
      parsed.address += before;
      parsed.address += option;
      before = '&';
    }
  }
  if (has_password) throw PasswordRefused();
  if (!IsAllowedName(parsed.name)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: found the name {:?}, allowed: {}, whose name has 1 to {} letters, digits, -, _ "
        "and .",
        place, parsed.name, kAllowed, kMaxName);
  }
  return parsed;
}

}  // namespace throng::journal
