// What the endpoints of a run have in common. Journals are opened anew for each request, so that a run in
// progress can be watched.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "serve/context.h"
#include "serve/exchange.h"
#include "serve/fields/json_fields.h"

namespace throng::serve {

// The run that the query means: run=0, the default, or run=1. Throws RequestError (404) if none is shown.
const ShownRun& RunOf(const Context& context, const HttpRequest& request);
std::unique_ptr<journal::Journal> OpenRun(const Context& context, const HttpRequest& request);

// A whole number from 0 on, of the query; without a fallback it must be there. Throws kInvalid.
int64_t NumberOf(const HttpRequest& request, const std::string& name);
int64_t NumberOf(const HttpRequest& request, const std::string& name, int64_t fallback);

struct StepRange {
  int64_t from;
  int64_t to;  // excluded
};
// At most kMaxStepsPerReply. Throws kInvalid.
StepRange RangeOf(const HttpRequest& request);

HttpReply JsonReply(const Json& json);

// An array per row.
template <typename Row, typename ToArray>
Json Rows(const std::vector<Row>& rows, const ToArray& to_array) {
  Json json = Json::array();
  for (const Row& row : rows) json.push_back(to_array(row));
  return json;
}

}  // namespace throng::serve
