// A JSON schema with its references and combinations resolved: what one value must be is a choice of
// alternatives, each a list of plain schemas that hold together. What plain schemas ask for is
// json_schema.h's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "llm/answer/schema_check.h"

namespace throng::llm {

// A schema, and where it is: "#/properties/age". Lives as long as its SchemaDocument.
struct SchemaPart {
  const nlohmann::ordered_json* schema;
  std::string path;
};
// They all hold.
using SchemaParts = std::vector<SchemaPart>;

// As names of JSON Schema.
enum SchemaType : uint32_t {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,   // whole numbers
  kFraction = 8,  // other numbers
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127,
};

class SchemaDocument {
 public:
  // Throws kInvalid if the text is too long or not JSON.
  explicit SchemaDocument(std::string_view text);

  SchemaPart Root() const { return {&root_, "#"}; }

  // The alternatives, of which one holds or several do; none: no value is allowed. Their parts are objects,
  // whose keywords for references and combinations are to be ignored. Throws kInvalid for what is wrong, and
  // kUnsupported for what cannot be resolved, with keyword and path.
  std::vector<SchemaParts> Alternatives(const SchemaParts& all);

  // What a $ref refers to. Throws as above.
  SchemaPart Target(const nlohmann::ordered_json& reference, const std::string& path);

  // Judges values by schemas that hold together.
  class Check {
   public:
    bool Allows(const nlohmann::ordered_json& value) const;

   private:
    friend class SchemaDocument;
    std::vector<const SchemaCheck*> parts_;
  };
  // Of values of some types, which are known to fit the value of some keyword: the enum that lists them, or
  // null. Throws as SchemaCheck does.
  Check CheckOf(const SchemaParts& parts, uint32_t types = kAnyType,
                const nlohmann::ordered_json* known = nullptr);

  // A schema that is not in the text, such as the schema of all values.
  const nlohmann::ordered_json* Make(nlohmann::ordered_json schema);

 private:
  using Json = nlohmann::ordered_json;
  // An alternative: its parts hold, and those excluded do not.
  struct Case {
    SchemaParts parts;
    SchemaParts excluded;
  };
  using Cases = std::vector<Case>;

  static constexpr int kMaxDepth = 128;         // the text nests, and expansion recurses
  static constexpr size_t kMaxSteps = 200'000;  // expansions of one schema

  void FindNames(const Json& value, std::vector<std::string>& path);
  const Cases& Expand(const SchemaPart& part);
  Cases ExpandAll(const SchemaParts& parts);
  SchemaParts WithListsMerged(const SchemaParts& any, const std::string& where);
  // What the part does not allow, of what `answer` allows.
  Cases Negate(const SchemaPart& part, const SchemaParts& answer);
  Cases NegateKeyword(const std::string& keyword, const SchemaPart& part, const SchemaParts& answer);
  Case WithMemberNot(const std::string& name, const Json& schema, const std::string& where);
  Cases NegateMembers(const SchemaPart& part, const SchemaParts& answer);
  std::optional<Cases> NegateCount(const std::string& keyword, const Json& value, const std::string& where);
  Cases NegateOneOf(const Json& list, const std::string& where, const SchemaParts& answer);
  Cases IfThenElse(const SchemaPart& part);
  Cases Dependencies(const SchemaPart& part);
  Json Moved(const Json& value, const std::string& path);
  const SchemaCheck* CheckOf(const SchemaPart& part, uint32_t types, const Json* known);
  Cases And(const Cases& a, const Cases& b, const std::string& path) const;
  bool AreDisjoint(const Cases& answers, const Cases& others, int depth);
  bool AreDisjoint(const SchemaParts& answer, const SchemaParts& other, int depth);

  Json root_;
  std::map<std::string, SchemaPart, std::less<>> names_;  // by $id and $anchor, as references write them
  std::deque<Json> made_;
  std::map<const Json*, Cases> expanded_;  // by schema
  std::vector<const Json*> path_;          // the schemas that are being expanded
  size_t steps_ = 0;
  std::optional<Json> moved_;  // for CheckOf
  // By schema, types and what is known; null where nothing is left to judge.
  std::map<std::tuple<const Json*, uint32_t, const Json*>, std::unique_ptr<SchemaCheck>> checks_;
  std::map<const Json*, const Json*> merged_;  // the lists of an anyOf, by the first of them
};

// Errors at a path: kInvalid and kUnsupported.
Error WrongSchema(std::string_view path, std::string_view what);
Error UnsupportedSchema(std::string_view path, std::string_view what);

// The value of a keyword; null if the schema does not have it.
const nlohmann::ordered_json* Find(const nlohmann::ordered_json& schema, const char* keyword);

// The types that all parts allow; all if they name none. Throws kInvalid.
uint32_t TypesOf(const SchemaParts& parts);
uint32_t TypeOf(const nlohmann::ordered_json& value);
// The types that a keyword is about; none if it is about all, or no keyword.
uint32_t TypesOfKeyword(std::string_view keyword);
// Those that all parts name, all if they name none: what keywords imply does not count.
uint32_t NamedTypesOf(const SchemaParts& parts);
// Their names, as `type` lists them; fractions alone have one of ours.
nlohmann::ordered_json NamesOfTypes(uint32_t types);
// Whether the values that both list, or one lists and the other has a type for, are none.
bool HaveNoValue(const SchemaParts& a, const SchemaParts& b);

// The keyword, in schemas that Alternatives makes, of an array of values that are not allowed.
inline constexpr const char* kExcept = "x-except";
// Likewise, of a pattern that no string may match.
inline constexpr const char* kNotPattern = "x-not-pattern";

// Thrown where schemas, right by themselves, allow no value together: they may be one of several
// alternatives, or an optional member's.
struct NoValue {
  Error why;
};

}  // namespace throng::llm
