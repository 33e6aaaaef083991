#include "llm/regular/format.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "llm/regular/pattern.h"

namespace throng::llm {
namespace {

// RFC 3339, 5.6, with the days that each month has.
std::string Date() {
  const std::string_view leap_year =
      "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
  const std::string_view day_of_year =
      "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|"
      "2[0-8]))";
  return fmt::format("(?:\\d{{4}}-{}|{}-02-29)", day_of_year, leap_year);
}

std::string Time() {
  const std::string_view hour_minute = "(?:[01]\\d|2[0-3]):[0-5]\\d";
  return fmt::format("(?:{0}:[0-5]\\d(?:\\.\\d+)?(?:Z|[+-]{0})|23:59:60(?:\\.\\d+)?Z)", hour_minute);
}

// RFC 3339, appendix A: no unit is left out between two others.
std::string Duration() {
  const std::string_view time = "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)";
  return fmt::format("P(?:(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)(?:{0})?|{0}|\\d+W)", time);
}

// RFC 1123, 2.1: letters, digits, and hyphens inside.
std::string Label(int max_length) {
  return fmt::format("[A-Za-z0-9](?:[A-Za-z0-9-]{{0,{}}}[A-Za-z0-9])?", max_length - 2);
}

// Up to 253 characters: to count them takes many states, so one of two forms of that length.
std::string Hostname() {
  const std::string four = fmt::format("(?:{0}\\.){{0,3}}{1}", Label(63), Label(61));
  const std::string eight = fmt::format("{0}(?:\\.{1}){{0,7}}", Label(63), Label(26));
  return four + "|" + eight;
}

// RFC 5321, 4.1.2 and 4.5.3.1.1.
std::string Email() {
  const std::string_view atom = "[A-Za-z0-9!#$%&'*+\\/=?^_`{|}~-]+";
  return fmt::format("(?=.{{1,64}}@){0}(?:\\.{0})*@(?:{1}\\.)+{1}", atom, Label(63));
}

std::string Ipv4() {
  const std::string_view byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  return fmt::format("{0}(?:\\.{0}){{3}}", byte);
}

// RFC 4291, 2.2: eight groups, of which the last two can be an IPv4 address, and :: for one or more that are
// 0.
std::string Ipv6() {
  const std::string_view group = "[0-9A-Fa-f]{1,4}";
  const std::string last_two = fmt::format("(?:{0}:{0}|{1})", group, Ipv4());
  std::string text = fmt::format("(?:(?:{}:){{6}}{}", group, last_two);
  for (int before = 0; before <= 7; ++before) {  // groups before ::, and up to 7 - before after it
    const int most = 7 - before;
    text += before == 0 ? "|::" : fmt::format("|{0}(?::{0}){{{1}}}::", group, before - 1);
    std::string after = fmt::format("{0}", group);
    if (most >= 2) after += fmt::format("|(?:{}:){{0,{}}}{}", group, most - 2, last_two);
    if (most >= 1) text += fmt::format("(?:{})?", after);
  }
  return text + ")";
}

// RFC 3986, appendix A.
struct UriParts {
  std::string encoded = "%[0-9A-Fa-f]{2}";
  std::string plain = "A-Za-z0-9\\-._~!$&'()*+,;=";  // unreserved and sub-delims
  std::string pchar = fmt::format("(?:[{}:@]|{})", plain, encoded);
  // An IPv4 address is a name, too.
  std::string host = fmt::format("(?:\\[{}\\]|(?:[{}]|{})*)", Ipv6(), plain, encoded);
  std::string authority = fmt::format("(?:(?:[{}:]|{})*@)?{}(?::\\d*)?", plain, encoded, host);
  // Either begins with a slash.
  std::string from_root = fmt::format("\\/\\/{0}(?:\\/{1}*)*|\\/(?:{1}+(?:\\/{1}*)*)?", authority, pchar);
  std::string rest = fmt::format("(?:{}|[\\/?])*", pchar);
  std::string end = fmt::format("(?:\\?{0})?(?:#{0})?", rest);
};

// Something has to follow the scheme, as common validators ask.
std::string Uri() {
  const UriParts of;
  return fmt::format("[A-Za-z][A-Za-z0-9+.\\-]*:(?:{0}|{1}+(?:\\/{1}*)*){2}", of.from_root, of.pchar, of.end);
}

// RFC 3986, 4.1: relative ones, whose first segment has no colon, are references, too.
std::string UriReference() {
  const UriParts of;
  const std::string first = fmt::format("(?:[{}@]|{})+", of.plain, of.encoded);
  return fmt::format("(?:{}|(?:{}|{}(?:\\/{}*)*)?{})", Uri(), of.from_root, first, of.pchar, of.end);
}

// RFC 6570, 2.
std::string UriTemplate() {
  const std::string encoded = "%[0-9A-Fa-f]{2}";
  const std::string name = fmt::format("(?:[A-Za-z0-9_]|{0})(?:\\.?(?:[A-Za-z0-9_]|{0}))*", encoded);
  const std::string variable = fmt::format("{}(?::[1-9]\\d{{0,3}}|\\*)?", name);
  return fmt::format("(?:[!#$&(-;=?-\\[\\]_a-z~]|{0}|\\{{[+#.\\/;?&]?{1}(?:,{1})*\\}})*", encoded, variable);
}

// RFC 6901, 3.
std::string JsonPointer() { return "(?:\\/(?:[^~\\/]|~[01])*)*"; }

// A part of ECMA-262 with flag u: groups up to two levels, and classes of characters and common ranges.
std::string Expression() {
  const std::string escape = "\\\\(?:[dDwWsStnrfv]|[\\^$\\\\.*+?()\\[\\]{}|\\/])";
  const std::string member = fmt::format("(?:a-z|A-Z|0-9|[^\\x00-\\x1f\\^\\\\\\[\\]-]|{}|\\\\-)", escape);
  const std::string one =
      fmt::format("(?:[^\\x00-\\x1f\\^$\\\\.*+?()\\[\\]{{}}|]|\\.|{0}|\\[\\^?{1}+\\])", escape, member);
  const std::string times = "(?:(?:[*+?]|\\{\\d\\}|\\{\\d,\\}|\\{[0-4],[4-9]\\})(?:\\?)?)?";
  std::string level = fmt::format("(?:{0}{1}|[\\^$])*", one, times);
  for (int depth = 0; depth < 2; ++depth) {
    const std::string either = fmt::format("{0}(?:\\|{0})*", level);
    level = fmt::format("(?:(?:{0}|\\((?:\\?:)?{1}\\)){2}|[\\^$]|\\(\\?[=!]{1}\\))*", one, either, times);
  }
  return fmt::format("{0}(?:\\|{0})*", level);
}

std::string Base64() {
  const std::string_view digit = "[A-Za-z0-9+\\/]";
  return fmt::format("(?:{0}{{4}})*(?:{0}{{2}}==|{0}{{3}}=)?", digit);
}

}  // namespace

std::optional<Regular> FormatTexts(std::string_view format) {
  using Make = std::string (*)();
  static constexpr std::array<std::pair<std::string_view, Make>, 21> formats = {{
      {"date-time", [] { return Date() + "T" + Time(); }},
      {"date", Date},
      {"time", Time},
      {"duration", Duration},
      {"email", Email},
      {"hostname", Hostname},
      {"ipv4", Ipv4},
      {"ipv6", Ipv6},
      {"uri", Uri},
      {"idn-email", Email},
      {"idn-hostname", Hostname},
      {"iri", Uri},
      {"iri-reference", UriReference},
      {"uri-reference", UriReference},
      {"uri-template", UriTemplate},
      {"json-pointer", JsonPointer},
      {"relative-json-pointer", [] { return "(?:0|[1-9]\\d*)(?:#|" + JsonPointer() + ")"; }},
      {"regex", Expression},
      {"uuid", [] { return std::string("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"); }},
      {"byte", Base64},
      {"base64", Base64},
  }};
  // Each is made once: they are large, and the same everywhere.
  static std::mutex mutex;
  static std::map<std::string_view, Regular> made;
  for (const auto& [name, make] : formats) {
    if (name != format) continue;
    const std::lock_guard lock(mutex);
    const auto found = made.find(name);
    return found != made.end() ? found->second : made.emplace(name, RegexTexts(make(), name)).first->second;
  }
  return std::nullopt;
}

}  // namespace throng::llm
