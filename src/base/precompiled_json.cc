#include "base/precompiled_json.h"

namespace nlohmann::detail {
THRONG_JSON_TEMPLATES(, json)
THRONG_JSON_TEMPLATES(, ordered_json)
}  // namespace nlohmann::detail
