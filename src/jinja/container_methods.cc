// The methods of lists, tuples and dicts, and of cyclers. Those that change a list or dict are allowed,
// although transformers forbids them: it renders no template that uses them, so nothing differs that worked.

#include <algorithm>

#include "jinja/builtin.h"
#include "jinja/operators.h"

namespace throng::jinja {
namespace {

using V = const Value&;
using B = const Bound&;

List& L(V self) { return *self.As<List*>(); }
Dict& D(V self) { return *self.As<Dict*>(); }

// Where a list has the value; fails if nowhere.
size_t IndexOf(Runtime& runtime, const List& list, const Value& value) {
  const auto found =
      std::ranges::find_if(list.items, [&](const Value& item) { return Equal(runtime, item, value); });
  if (found == list.items.end()) runtime.Fail("the value is not in the list");
  return static_cast<size_t>(found - list.items.begin());
}

Value CountItems(Runtime& runtime, V self, B arguments) {
  return static_cast<int64_t>(std::ranges::count_if(
      L(self).items, [&](const Value& item) { return Equal(runtime, item, arguments[0]); }));
}

Value IndexItem(Runtime& runtime, V self, B arguments) {
  return static_cast<int64_t>(IndexOf(runtime, L(self), arguments[0]));
}

Value Append(Runtime& runtime, V self, B arguments) {
  runtime.Touch(sizeof(Value));
  L(self).items.push_back(arguments[0]);
  return None();
}

Value Extend(Runtime& runtime, V self, B arguments) {
  const std::vector<Value> more = Iterate(runtime, arguments[0]);
  runtime.Touch(more.size() * sizeof(Value));
  L(self).items.insert(L(self).items.end(), more.begin(), more.end());
  return None();
}

// The place that an index names, from 0 to `size`.
int64_t Resolve(int64_t index, size_t size) {
  const auto count = static_cast<int64_t>(size);
  return std::clamp<int64_t>(index < 0 ? std::max(index, -count) + count : index, 0, count);
}

Value Insert(Runtime& runtime, V self, B arguments) {
  std::vector<Value>& items = L(self).items;
  runtime.Touch((items.size() + 1) * sizeof(Value));
  items.insert(items.begin() + Resolve(arguments.Int(0, 0), items.size()), arguments[1]);
  return None();
}

Value PopItem(Runtime& runtime, V self, B arguments) {
  std::vector<Value>& items = L(self).items;
  const int64_t index = arguments.Int(0, -1);
  const auto size = static_cast<int64_t>(items.size());
  if (index < -size || index >= size) runtime.Fail("pop: the index is outside of the list");
  runtime.Touch(items.size() * sizeof(Value));
  const auto at = items.begin() + (index < 0 ? index + size : index);
  const Value item = *at;
  items.erase(at);
  return item;
}

Value Remove(Runtime& runtime, V self, B arguments) {
  std::vector<Value>& items = L(self).items;
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(IndexOf(runtime, L(self), arguments[0])));
  runtime.Touch(items.size() * sizeof(Value));
  return None();
}

Value Reverse(Runtime& runtime, V self, B) {
  runtime.Touch(L(self).items.size() * sizeof(Value));
  std::ranges::reverse(L(self).items);
  return None();
}

Value SortItems(Runtime& runtime, V self, B arguments) {
  if (arguments.Has(0) && !arguments[0].IsNone()) runtime.Fail("sort: a key is not supported");
  std::vector<Value> items = L(self).items;
  const bool reverse = arguments.Bool(1, false);
  std::ranges::stable_sort(items, [&](const Value& a, const Value& b) {
    return Compare(runtime, reverse ? b : a, reverse ? a : b, "<") < 0;
  });
  L(self).items = std::move(items);
  return None();
}

Value DictView(Runtime& runtime, const char* name, std::vector<Value> items) {
  List* view = runtime.NewList(std::move(items), List::kView);
  view->view = name;
  return view;
}

Value Keys(Runtime& runtime, V self, B) {
  std::vector<Value> keys;
  for (const auto& [key, value] : D(self).items) keys.push_back(key);
  return DictView(runtime, "dict_keys", std::move(keys));
}

Value Values(Runtime& runtime, V self, B) {
  std::vector<Value> values;
  for (const auto& [key, value] : D(self).items) values.push_back(value);
  return DictView(runtime, "dict_values", std::move(values));
}

Value Items(Runtime& runtime, V self, B) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : D(self).items)
    pairs.emplace_back(runtime.NewList({key, value}, List::kTuple));
  return DictView(runtime, "dict_items", std::move(pairs));
}

Value Get(Runtime& runtime, V self, B arguments) {
  const Value* found = D(self).Find(KeyOf(runtime, arguments[0]));
  if (found != nullptr) return *found;
  return arguments.Has(1) ? arguments[1] : Value(None());
}

Value PopKey(Runtime& runtime, V self, B arguments) {
  const std::string key = KeyOf(runtime, arguments[0]);
  const Value* found = D(self).Find(key);
  if (found == nullptr && !arguments.Has(1)) runtime.Fail("pop: the dict does not have the key");
  if (found == nullptr) return arguments[1];
  const Value value = *found;
  runtime.Touch(D(self).items.size() * sizeof(Value));
  D(self).Erase(key);
  return value;
}

Value SetDefault(Runtime& runtime, V self, B arguments) {
  const std::string key = KeyOf(runtime, arguments[0]);
  if (const Value* found = D(self).Find(key)) return *found;
  const Value value = arguments.Has(1) ? arguments[1] : Value(None());
  runtime.Touch(2 * sizeof(Value));
  D(self).Set(key, arguments[0], value);
  return value;
}

Value Update(Runtime& runtime, V self, B arguments) {
  FillDict(runtime, D(self), arguments.More());
  return None();
}

Value CopyList(Runtime& runtime, V self, B) { return runtime.NewList(L(self).items); }

Value CopyDict(Runtime& runtime, V self, B) {
  Dict* copy = runtime.NewDict();
  runtime.Touch(D(self).items.size() * 2 * sizeof(Value));
  *copy = D(self);
  return copy;
}

Value NextOfCycler(Runtime&, V self, B) {
  Cycler& cycler = *self.As<Cycler*>();
  const Value item = cycler.items[cycler.pos];
  cycler.pos = (cycler.pos + 1) % cycler.items.size();
  return item;
}

Value ResetCycler(Runtime&, V self, B) {
  self.As<Cycler*>()->pos = 0;
  return None();
}

constexpr Builtin kListMethods[] = {
    {"append", "object", Append},
    {"extend", "iterable", Extend},
    {"insert", "index object", Insert},
    {"pop", "index?", PopItem},
    {"remove", "value", Remove},
    {"reverse", "", Reverse},
    {"sort", "key? reverse?", SortItems},
    {"clear", "",
     [](Runtime&, V s, B) -> Value {
       L(s).items.clear();
       return None();
     }},
    {"copy", "", CopyList},
    {"count", "value", CountItems},
    {"index", "value", IndexItem},
};

constexpr Builtin kTupleMethods[] = {
    {"count", "value", CountItems},
    {"index", "value", IndexItem},
};

constexpr Builtin kDictMethods[] = {
    {"keys", "", Keys},
    {"values", "", Values},
    {"items", "", Items},
    {"get", "key default?", Get},
    {"pop", "key default?", PopKey},
    {"setdefault", "key default?", SetDefault},
    {"update", "...", Update},
    {"clear", "",
     [](Runtime&, V s, B) -> Value {
       D(s) = Dict();
       return None();
     }},
    {"copy", "", CopyDict},
};

constexpr Builtin kCyclerMethods[] = {
    {"next", "", NextOfCycler},
    {"reset", "", ResetCycler},
};

}  // namespace

void FillDict(Runtime& runtime, Dict& dict, const Arguments& arguments) {
  if (arguments.positional.size() > 1)
    runtime.Fail("a dict is made of one mapping or list of pairs, and named values");
  const auto set = [&](const Value& key, const Value& value) {
    runtime.Touch(2 * sizeof(Value) + 32);
    dict.Set(KeyOf(runtime, key), key, value);
  };
  for (const Value& source : arguments.positional) {
    if (const auto* other = source.If<Dict*>()) {
      const auto items = (*other)->items;  // a copy: it may be this dict
      for (const auto& [key, value] : items) set(key, value);
      continue;
    }
    for (const Value& pair : Iterate(runtime, source)) {
      const std::vector<Value> both = Iterate(runtime, pair);
      if (both.size() != 2) runtime.Fail("a dict is made of pairs; found {} values", both.size());
      set(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) set(name, value);
}

std::span<const Builtin> ListMethods() { return kListMethods; }
std::span<const Builtin> TupleMethods() { return kTupleMethods; }
std::span<const Builtin> DictMethods() { return kDictMethods; }
std::span<const Builtin> CyclerMethods() { return kCyclerMethods; }

}  // namespace throng::jinja
