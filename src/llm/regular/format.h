// The `format` of strings (JSON Schema 2020-12, Validation 7.3).
#pragma once

#include <optional>
#include <string_view>

#include "llm/regular/regular.h"

namespace throng::llm {

// The strings of a format, or nothing if it is not known: then it is an annotation only. Known are date-time,
// date, time, duration, email, hostname, ipv4, ipv6, uri, uuid, byte and base64. What is generated is valid;
// of what is valid some is left out: lower-case t and z in times, leap seconds that are not at 23:59:60Z,
// quoted local parts and addresses in brackets of an email, host names of more than four labels if one but
// the first has more than 26 characters, or of more than eight, IPvFuture and empty paths without an
// authority in a uri.
std::optional<Regular> FormatTexts(std::string_view format);

}  // namespace throng::llm
