// Which members an object may have by several schemas that hold together, and what each of them must be.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/grammar/schema_parts.h"
#include "llm/regular/regular.h"

namespace throng::llm {

class ObjectNames {
 public:
  // parts: plain schemas. Throws kInvalid, with the path, where their keywords for objects are wrong.
  explicit ObjectNames(const SchemaParts& parts);

  // Those that some part names as a property or as required, in this order. They may be forbidden (MayHave).
  const std::vector<std::string>& Named() const { return named_; }
  const std::vector<std::string>& Required() const { return required_; }
  bool IsRequired(const std::string& name) const;
  // What the member must be: all of these. Of a name that no part has: what all other members must be.
  SchemaParts PartsOf(const std::string& name) const;
  bool MayHave(const std::string& name) const;

  // Whether members are allowed that are neither named nor match a pattern: if a part has
  // additionalProperties, or if none names any member.
  bool HasOthers() const { return has_others_; }
  // The patternProperties of all parts.
  const std::vector<std::string>& Patterns() const { return patterns_; }
  const Regular& TextsOf(size_t pattern) const { return pattern_texts_[pattern]; }
  // What other members must be whose name matches these of Patterns() (one flag for each), and no others.
  SchemaParts OthersWith(const std::vector<bool>& matched) const;

 private:
  // What the parts say of a name.
  struct Member {
    bool is_required = false;
    std::vector<std::pair<size_t, const nlohmann::ordered_json*>> properties;  // index of the part, schema
  };

  void Add(size_t part);
  template <typename Found>
  void ForEachPartOf(const std::string& name, const Found& found) const;

  SchemaParts parts_;
  std::vector<std::string> named_;
  std::vector<std::string> required_;
  std::unordered_map<std::string, Member> members_;  // of those in named_
  std::vector<std::string> patterns_;
  std::vector<Regular> pattern_texts_;
  bool has_others_ = false;
};

}  // namespace throng::llm
