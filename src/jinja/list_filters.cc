// Filters on lists, dicts and what else can be iterated. As in Jinja, many give a generator, which can be
// read once.

#include <algorithm>
#include <charconv>

#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/string_ops.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

using V = const Value&;
using B = const Bound&;

Value Generator(Runtime& runtime, std::vector<Value> items) {
  return runtime.NewList(std::move(items), List::kGenerator);
}

// "a.b.0" of a value, each part as in value[part]; undefined parts become `missing`, if that is set.
Value AttributePath(Runtime& runtime, Value value, V path, V missing) {
  const auto step = [&](V part) {
    value = ItemOf(runtime, value, part);
    if (value.IsUndefined() && !missing.IsUndefined() && !missing.IsNone()) value = missing;
  };
  if (path.Is<int64_t>()) {
    step(path);
    return value;
  }
  if (!path.Is<Text>()) runtime.Fail("an attribute is named by a string or number, not '{}'", TypeName(path));
  for (const Text& part : Split(runtime, path.As<Text>(), ".", SIZE_MAX, false)) {
    int64_t index = 0;
    const std::string_view bytes = part.View();
    const bool is_index = !bytes.empty() &&
                          std::ranges::all_of(bytes, [](char c) { return c >= '0' && c <= '9'; }) &&
                          std::from_chars(bytes.data(), bytes.data() + bytes.size(), index).ec == std::errc();
    step(is_index ? Value(index) : Value(part));
  }
  return value;
}

// What sorting compares: a value or an attribute of it; strings in lower case, unless case counts.
Value SortKey(Runtime& runtime, V item, V attribute, bool case_sensitive, V missing = {}) {
  const bool whole = attribute.IsUndefined() || attribute.IsNone();
  Value key = whole ? item : AttributePath(runtime, item, attribute, missing);
  if (!case_sensitive && key.Is<Text>()) return MapCharacters(runtime, key.As<Text>(), ToLower);
  return key;
}

struct Keyed {
  std::vector<Value> keys;
  Value item;
};

void SortKeyed(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  std::ranges::stable_sort(items, [&](const Keyed& left, const Keyed& right) {
    const Keyed& a = reverse ? right : left;
    const Keyed& b = reverse ? left : right;
    for (size_t i = 0; i < a.keys.size(); ++i) {
      if (!Equal(runtime, a.keys[i], b.keys[i])) return Compare(runtime, a.keys[i], b.keys[i], "<") < 0;
    }
    return false;
  });
}

Value Sort(Runtime& runtime, V self, B arguments) {
  const bool case_sensitive = arguments.Bool(1, false);
  std::vector<Value> attributes;
  if (arguments[2].Is<Text>()) {
    for (const Text& name : Split(runtime, arguments[2].As<Text>(), ",", SIZE_MAX, false))
      attributes.emplace_back(name);
  } else {
    attributes.push_back(arguments[2]);
  }
  std::vector<Keyed> items;
  for (const Value& item : Iterate(runtime, self)) {
    Keyed keyed{{}, item};
    for (const Value& attribute : attributes)
      keyed.keys.push_back(SortKey(runtime, item, attribute, case_sensitive));
    items.push_back(std::move(keyed));
  }
  SortKeyed(runtime, items, arguments.Bool(0, false));
  std::vector<Value> sorted;
  for (Keyed& keyed : items) sorted.push_back(std::move(keyed.item));
  return runtime.NewList(std::move(sorted));
}

Value DictSort(Runtime& runtime, V self, B arguments) {
  if (!self.Is<Dict*>())
    runtime.Fail("dictsort: found a value of type '{}' where a dict is expected", TypeName(self));
  const bool case_sensitive = arguments.Bool(0, false);
  const Text by = arguments.String(1, "key");
  if (by.View() != "key" && by.View() != "value") runtime.Fail("dictsort: by is 'key' or 'value'");
  std::vector<Keyed> items;
  for (const auto& [key, value] : self.As<Dict*>()->items) {
    const Value& sorted_by = by.View() == "key" ? key : value;
    items.push_back({{SortKey(runtime, sorted_by, Value(), case_sensitive)},
                     runtime.NewList({key, value}, List::kTuple)});
  }
  SortKeyed(runtime, items, arguments.Bool(2, false));
  std::vector<Value> sorted;
  for (Keyed& keyed : items) sorted.push_back(std::move(keyed.item));
  return runtime.NewList(std::move(sorted));
}

Value Unique(Runtime& runtime, V self, B arguments) {
  Dict seen;
  std::vector<Value> items;
  for (const Value& item : Iterate(runtime, self)) {
    const Value key = SortKey(runtime, item, arguments[1], arguments.Bool(0, false));
    const std::string id = KeyOf(runtime, key);
    if (seen.Find(id) != nullptr) continue;
    seen.Set(id, key, None());
    items.push_back(item);
  }
  return Generator(runtime, std::move(items));
}

Value GroupBy(Runtime& runtime, V self, B arguments) {
  const bool case_sensitive = arguments.Bool(2, false);
  std::vector<Keyed> items;
  for (const Value& item : Iterate(runtime, self)) {
    items.push_back({{SortKey(runtime, item, arguments[0], case_sensitive, arguments[1])}, item});
  }
  for (const Keyed& item : items) {  // which have no order
    const auto* undefined = item.keys[0].If<Undefined>();
    if (undefined != nullptr && items.size() > 1) runtime.FailUndefined(*undefined);
  }
  SortKeyed(runtime, items, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    while (end < items.size() && Equal(runtime, items[end].keys[0], items[begin].keys[0]))
      members.push_back(items[end++].item);
    const Value grouper =
        SortKey(runtime, items[begin].item, arguments[0], /*case_sensitive=*/true, arguments[1]);
    List* group = runtime.NewList({grouper, runtime.NewList(std::move(members))}, List::kTuple);
    group->is_group = true;
    groups.emplace_back(group);
    begin = end;
  }
  return runtime.NewList(std::move(groups));
}

template <int kSign>
Value Extreme(Runtime& runtime, V self, B arguments) {
  Value best, best_key;
  bool is_first = true;
  for (const Value& item : Iterate(runtime, self)) {
    Value key = SortKey(runtime, item, arguments[1], arguments.Bool(0, false));
    if (std::exchange(is_first, false) || Compare(runtime, key, best_key, "<") * kSign > 0) {
      best = item;
      best_key = std::move(key);
    }
  }
  return is_first ? Value(Undefined{nullptr, "the extreme of nothing"}) : best;
}

Value Join(Runtime& runtime, V self, B arguments) {
  const Text separator = arguments.Has(0) ? ToText(runtime, arguments[0]) : Text();
  TextBuilder out;
  bool is_first = true;
  for (const Value& item : Iterate(runtime, self)) {
    const bool whole = arguments[1].IsUndefined() || arguments[1].IsNone();
    const Text text = ToText(runtime, whole ? item : AttributePath(runtime, item, arguments[1], Value()));
    runtime.Touch(text.Size() + separator.Size());
    if (!std::exchange(is_first, false)) out.Append(separator);
    out.Append(text);
  }
  return out.Take();
}

Arguments Without(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

const Builtin& NamedBuiltin(Runtime& runtime, V name, const Builtin* (*find)(std::string_view),
                            const char* what) {
  const Builtin* found = name.Is<Text>() ? find(name.As<Text>().View()) : nullptr;
  if (found == nullptr)
    runtime.Fail("there is no {} named '{}'", what, ToText(runtime, name).View().substr(0, 60));
  return *found;
}

// map and select make nothing of what is false, none among it.
std::vector<Value> IterateIfTrue(Runtime& runtime, V value) {
  return IsTrue(value) ? Iterate(runtime, value) : std::vector<Value>();
}

Value MapFilter(Runtime& runtime, V self, B arguments) {
  const Arguments& given = arguments.More();
  std::vector<Value> items;
  if (!given.positional.empty()) {
    const Builtin& filter = NamedBuiltin(runtime, given.positional[0], FindFilter, "filter");
    const Arguments rest = Without(given, 1);
    for (const Value& item : IterateIfTrue(runtime, self))
      items.push_back(CallBuiltin(runtime, filter, item, rest));
    return Generator(runtime, std::move(items));
  }
  Value attribute, missing;
  for (const auto& [name, value] : given.named) {
    if (name.View() == "attribute")
      attribute = value;
    else if (name.View() == "default")
      missing = value;
    else
      runtime.Fail("map: found the argument '{}', allowed are attribute and default",
                   name.View().substr(0, 60));
  }
  if (attribute.IsUndefined()) runtime.Fail("map: it needs the name of a filter, or attribute=");
  for (const Value& item : IterateIfTrue(runtime, self))
    items.push_back(AttributePath(runtime, item, attribute, missing));
  return Generator(runtime, std::move(items));
}

// select and reject, which test the values themselves, or an attribute of them.
template <bool kKeep, bool kByAttribute>
Value Select(Runtime& runtime, V self, B arguments) {
  const Arguments& given = arguments.More();
  constexpr size_t kBefore = kByAttribute ? 1 : 0;
  if (given.positional.size() < kBefore) runtime.Fail("selectattr: it needs the name of an attribute");
  const bool has_test = given.positional.size() > kBefore;
  const Builtin* test =
      has_test ? &NamedBuiltin(runtime, given.positional[kBefore], FindTest, "test") : nullptr;
  const Arguments rest = has_test ? Without(given, kBefore + 1) : Arguments();
  std::vector<Value> items;
  for (const Value& item : IterateIfTrue(runtime, self)) {
    const Value asked = kByAttribute ? AttributePath(runtime, item, given.positional[0], Value()) : item;
    const bool holds = IsTrue(test != nullptr ? CallBuiltin(runtime, *test, asked, rest) : asked);
    if (holds == kKeep) items.push_back(item);
  }
  return Generator(runtime, std::move(items));
}

Value Batch(Runtime& runtime, V self, B arguments) {
  const int64_t size = arguments.Int(0, 0);
  if (size < 1) runtime.Fail("batch: the size must be at least 1");
  std::vector<Value> rows;
  List* row = nullptr;
  for (const Value& item : Iterate(runtime, self)) {
    if (row == nullptr || static_cast<int64_t>(row->items.size()) == size)
      rows.emplace_back(row = runtime.NewList({}));
    row->items.push_back(item);
  }
  if (row != nullptr && arguments.Has(1) && !arguments[1].IsNone()) {
    runtime.Touch(static_cast<uint64_t>(size) * sizeof(Value));
    row->items.resize(static_cast<size_t>(size), arguments[1]);
  }
  return Generator(runtime, std::move(rows));
}

Value SliceFilter(Runtime& runtime, V self, B arguments) {
  const std::vector<Value> items = Iterate(runtime, self);
  const int64_t count = arguments.Int(0, 0);
  if (count < 1) runtime.Fail("slice: the number of slices must be at least 1");
  runtime.Touch(static_cast<uint64_t>(std::min<int64_t>(count, int64_t{1} << 40)) * sizeof(Value));
  const auto size = static_cast<int64_t>(items.size());
  const int64_t longer = size % count;  // so many have one more
  std::vector<Value> slices;
  auto begin = items.begin();
  for (int64_t i = 0; i < count; ++i) {
    const auto end = begin + size / count + (i < longer ? 1 : 0);
    std::vector<Value> slice(begin, end);
    if (arguments.Has(1) && !arguments[1].IsNone() && i >= longer) slice.push_back(arguments[1]);
    slices.emplace_back(runtime.NewList(std::move(slice)));
    begin = end;
  }
  return Generator(runtime, std::move(slices));
}

Value SumFilter(Runtime& runtime, V self, B arguments) {
  Value sum = arguments.Has(1) ? arguments[1] : Value(int64_t{0});
  for (const Value& item : Iterate(runtime, self)) {
    const bool whole = arguments[0].IsUndefined() || arguments[0].IsNone();
    sum = Sum(runtime, sum, whole ? item : AttributePath(runtime, item, arguments[0], Value()));
  }
  return sum;
}

Value First(Runtime& runtime, V self, B) {
  if (const auto* list = self.If<List*>();
      list != nullptr && (*list)->kind == List::kGenerator && !(*list)->items.empty()) {
    const Value item = (*list)->items.front();
    runtime.Touch((*list)->items.size() * sizeof(Value));
    (*list)->items.erase((*list)->items.begin());
    return item;
  }
  const std::vector<Value> items = Iterate(runtime, self);
  return items.empty() ? Value(Undefined{nullptr, "the first of nothing"}) : items.front();
}

Value Last(Runtime& runtime, V self, B) {
  if (const auto* list = self.If<List*>(); list != nullptr && (*list)->kind == List::kGenerator) {
    runtime.Fail("last: 'generator' object is not reversible");
  }
  const std::vector<Value> items = Iterate(runtime, self);
  return items.empty() ? Value(Undefined{nullptr, "the last of nothing"}) : items.back();
}

Value ReverseFilter(Runtime& runtime, V self, B) {
  if (self.Is<Text>()) return SliceOf(runtime, self, Value(), Value(), int64_t{-1});
  std::vector<Value> items = Iterate(runtime, self);
  std::ranges::reverse(items);
  return Generator(runtime, std::move(items));
}

Value Items(Runtime& runtime, V self, B) {
  if (self.IsUndefined()) return Generator(runtime, {});
  if (!self.Is<Dict*>())
    runtime.Fail("items: found a value of type '{}' where a dict is expected", TypeName(self));
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.As<Dict*>()->items)
    pairs.emplace_back(runtime.NewList({key, value}, List::kTuple));
  return Generator(runtime, std::move(pairs));
}

// An attribute, but no item.
Value Attr(Runtime& runtime, V self, B arguments) {
  const std::string_view name = runtime.Keep(arguments.String(0).View());
  if (self.Is<Dict*>() && FindMethod(self, name) == nullptr) return Undefined{"dict", name};
  return AttributeOf(runtime, self, name);
}

Value LengthFilter(Runtime& runtime, V self, B) { return static_cast<int64_t>(Length(runtime, self)); }

constexpr Builtin kFilters[] = {
    {"length", "", LengthFilter},
    {"count", "", LengthFilter},
    {"first", "", First},
    {"last", "", Last},
    {"list", "", [](Runtime& rt, V x, B) -> Value { return rt.NewList(Iterate(rt, x)); }},
    {"join", "d? attribute?", Join},
    {"map", "...", MapFilter},
    {"select", "...", Select<true, false>},
    {"reject", "...", Select<false, false>},
    {"selectattr", "...", Select<true, true>},
    {"rejectattr", "...", Select<false, true>},
    {"sort", "reverse? case_sensitive? attribute?", Sort},
    {"dictsort", "case_sensitive? by? reverse?", DictSort},
    {"unique", "case_sensitive? attribute?", Unique},
    {"groupby", "attribute default? case_sensitive?", GroupBy},
    {"min", "case_sensitive? attribute?", Extreme<-1>},
    {"max", "case_sensitive? attribute?", Extreme<1>},
    {"sum", "attribute? start?", SumFilter},
    {"batch", "linecount fill_with?", Batch},
    {"slice", "slices fill_with?", SliceFilter},
    {"reverse", "", ReverseFilter},
    {"items", "", Items},
    {"attr", "name", Attr},
};

}  // namespace

std::span<const Builtin> ListFilters() { return kFilters; }

}  // namespace throng::jinja
