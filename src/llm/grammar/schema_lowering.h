// What json_schema.h does: the values of schemas that hold together, as nodes of a grammar. A file each for
// values of any type (schema_lowering.cc), strings of many alternatives (schema_strings.cc), arrays
// (schema_arrays.cc) and objects (schema_objects.cc).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "llm/grammar/grammar.h"
#include "llm/grammar/json_style.h"
#include "llm/grammar/object_names.h"
#include "llm/grammar/schema_parts.h"
#include "llm/regular/regular.h"

namespace throng::llm {

class SchemaLowering {
 public:
  SchemaLowering(SchemaDocument& document, const JsonStyle& style, Grammar& grammar)
      : document_(document), style_(style), grammar_(grammar) {}

  // The values that all parts allow; a rule, if they recurse. Throws NoValue if there are none, and kInvalid
  // or kUnsupported with keyword and path.
  Grammar::Node Values(const SchemaParts& parts);

 private:
  using Json = nlohmann::ordered_json;

  struct Member {
    Grammar::Node key;
    Grammar::Node value;
    bool is_required = false;
  };
  // The members of an object that is being lowered, and how many of them it may have.
  struct Members {
    std::vector<Member> named;
    std::optional<Grammar::Node> other;  // a member of another name
    int64_t min = 0;
    int64_t max = Grammar::kUnbounded;
  };

  // Items that an array must contain, min to max of them.
  struct Contained {
    SchemaPart item;
    int64_t min = 1;
    int64_t max = Grammar::kUnbounded;
  };

  void CheckSize(const std::string& path) const;
  void CheckKeywordsOf(const SchemaPart& part);
  SchemaPart Meant(SchemaPart part);
  // The values of parts, or nothing.
  std::optional<Grammar::Node> ValuesIfAny(const SchemaParts& parts);
  Grammar::Node Choice(std::vector<Grammar::Node> choices);
  Grammar::Node Comma(Grammar::Node node) { return grammar_.Sequence({grammar_.Bytes(","), node}); }
  Grammar::Node Alternative(const SchemaParts& parts);
  Grammar::Node Listed(const SchemaPart& list, const SchemaParts& parts, uint32_t types);
  Grammar::Node String(const SchemaParts& parts);
  Grammar::Node Strings(const SchemaParts& parts);
  Regular StringsBy(const SchemaPart& part);
  std::vector<Regular> StringsByEach(const SchemaPart& part, const char* keyword);
  Grammar::Node Number(const SchemaParts& parts, bool whole);

  Grammar::Node Array(const SchemaParts& parts);
  Grammar::Node Unique(const SchemaParts& parts, int64_t prefix, int64_t min, int64_t max);
  Grammar::Node InOrder(const std::vector<Json>& values, int64_t min, int64_t max, const std::string& path);
  bool ListOf(const SchemaParts& parts, std::vector<Json>& values);
  static std::optional<Contained> ContainedBy(const SchemaParts& parts);
  Grammar::Node Containing(const SchemaParts& parts, const Contained& contained, int64_t prefix, int64_t min,
                           int64_t max);

  Grammar::Node Object(const SchemaParts& parts);
  std::vector<SchemaParts> AllowedNames(const SchemaParts& parts);
  bool AddListedNames(const ObjectNames& names, const std::vector<SchemaParts>& allowed,
                      std::vector<std::string>& named);
  std::optional<Grammar::Node> Others(const ObjectNames& names, const std::vector<SchemaParts>& allowed,
                                      const std::vector<std::string>& named, const std::string& path);
  Grammar::Node NameExcept(const std::vector<std::string>& named);
  std::optional<Grammar::Node> BareOthers(const ObjectNames& names, const std::vector<std::string>& named,
                                          const std::string& path);
  Grammar::Node Tail(const Members& members, const std::string& path);

  SchemaDocument& document_;
  const JsonStyle& style_;
  Grammar& grammar_;
  std::map<std::vector<const Json*>, Grammar::Node> rules_;  // by the schemas that hold together
  std::map<std::vector<const Json*>, Error> without_value_;
  std::unordered_map<std::string, Grammar::Node> scalars_;  // strings, numbers and names, by what limits them
  std::unordered_set<const Json*> checked_;                 // schemas whose keywords are known
  int depth_ = 0;
};

}  // namespace throng::llm
