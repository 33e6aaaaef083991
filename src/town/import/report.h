// What an import made of its source: what was taken over, changed and left out.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace throng::town {

class ImportReport {
 public:
  // What the source is, such as "Generative Agents".
  std::string form;
  size_t people = 0;
  size_t places = 0;
  size_t homes = 0;
  size_t memories = 0;
  size_t descriptions = 0;  // people who have one

  // `what` is a kind, such as "layers", each `name` one of it; the same name may come more than once.
  void Drop(const std::string& what, const std::string& name) { ++dropped_[what][name]; }
  void Change(const std::string& what, const std::string& name) { ++changed_[what][name]; }

  // By kind, how often each name.
  using Names = std::map<std::string, std::map<std::string, size_t>>;
  const Names& Dropped() const { return dropped_; }
  const Names& Changed() const { return changed_; }

 private:
  Names dropped_;
  Names changed_;
};

}  // namespace throng::town
