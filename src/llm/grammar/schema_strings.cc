// Strings of schemas that multiply out to many alternatives, as one language. Each combination of schemas is
// one of their languages, and what it makes is reduced before it is combined further.
#include "llm/grammar/json_scalar.h"
#include "llm/grammar/schema_lowering.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

std::string Where(const SchemaPart& part) { return "JSON schema: " + part.path; }

Regular Both(const Regular& a, const Regular& b, const std::string& where) {
  return Reduced(Intersection(a, b, where));
}

Regular Either(const Regular& a, const Regular& b, const std::string& where) {
  return Reduced(Union(a, b, where));
}

}  // namespace

// The schemas combine as Alternatives has found: they are well-formed, and refer to no part of themselves.
Grammar::Node SchemaLowering::Strings(const SchemaParts& parts) {
  Regular texts = StringsBy(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) texts = Both(texts, StringsBy(parts[i]), Where(parts[i]));
  if (texts.Empty()) throw NoValue{WrongSchema(parts[0].path, "allows no string")};
  const Grammar::Node quote = grammar_.Bytes("\"");
  return grammar_.Sequence({quote, grammar_.StringTexts(std::move(texts)), quote});
}

// Without their quotes.
Regular SchemaLowering::StringsBy(const SchemaPart& part) {
  const Json& schema = *part.schema;
  const std::string where = Where(part);
  if (schema == Json(false) || (schema != Json(true) && (NamedTypesOf({part}) & kString) == 0)) return {};
  if (schema == Json(true)) return StringsOf({document_.Make(Json::object()), part.path});
  CheckKeywordsOf(part);
  Regular texts = StringsOf(part);
  const auto sub = [&](const char* keyword) {
    return StringsBy({Find(schema, keyword), fmt::format("{}/{}", part.path, keyword)});
  };
  if (const Json* reference = Find(schema, "$ref"))
    texts = Both(texts, StringsBy(document_.Target(*reference, part.path + "/$ref")), where);
  for (const Regular& one : StringsByEach(part, "allOf")) texts = Both(texts, one, where);
  if (Find(schema, "anyOf") != nullptr) {
    Regular any;
    for (const Regular& one : StringsByEach(part, "anyOf")) any = Either(any, one, where);
    texts = Both(texts, any, where);
  }
  if (Find(schema, "oneOf") != nullptr) {
    Regular once, more;  // in one of those so far, and in several
    for (const Regular& one : StringsByEach(part, "oneOf")) {
      more = Either(more, Both(once, one, where), where);
      once = Either(once, one, where);
    }
    texts = Both(texts, Both(once, Complement(more, where), where), where);
  }
  if (Find(schema, "not") != nullptr) texts = Both(texts, Complement(sub("not"), where), where);
  if (Find(schema, "if") != nullptr) {
    const Regular condition = sub("if");
    Regular then = condition, otherwise = Complement(condition, where);
    if (Find(schema, "then") != nullptr) then = Both(then, sub("then"), where);
    if (Find(schema, "else") != nullptr) otherwise = Both(otherwise, sub("else"), where);
    texts = Both(texts, Either(then, otherwise, where), where);
  }
  return texts;
}

std::vector<Regular> SchemaLowering::StringsByEach(const SchemaPart& part, const char* keyword) {
  std::vector<Regular> all;
  const Json* list = Find(*part.schema, keyword);
  for (size_t i = 0; list != nullptr && i < list->size(); ++i)
    all.push_back(StringsBy({&(*list)[i], fmt::format("{}/{}/{}", part.path, keyword, i)}));
  return all;
}

}  // namespace throng::llm
