// The messages of requests, as chat templates read them.
#pragma once

#include <initializer_list>

#include "serve/fields/json_fields.h"

namespace throng::serve {

inline constexpr size_t kMaxMessages = 4096;

// Those of the field `name`. part_types: what the parts of a message's content may be, besides "text". Throws
// RequestError with one sentence that names the field.
Json ParseMessages(const JsonFields& fields, const char* name,
                   std::initializer_list<const char*> part_types = {});
Json ParseMessage(const JsonFields& message, std::initializer_list<const char*> part_types);

// A call of a tool, as a template reads it.
Json CallOf(const std::string& id, const std::string& name, const std::string& arguments);

}  // namespace throng::serve
