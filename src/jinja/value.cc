#include "jinja/value.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "jinja/loop.h"
#include "jinja/runtime.h"
#include "jinja/unicode.h"

namespace throng::jinja {

Value* Dict::Find(const std::string& key) {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &items[found->second].second;
}

void Dict::Set(const std::string& key_id, Value key, Value value) {
  const auto [found, is_new] = index_.try_emplace(key_id, items.size());
  if (is_new) {
    items.emplace_back(std::move(key), std::move(value));
  } else {
    items[found->second].second = std::move(value);
  }
}

bool Dict::Erase(const std::string& key_id) {
  const auto found = index_.find(key_id);
  if (found == index_.end()) return false;
  const size_t pos = found->second;
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(pos));
  index_.erase(found);
  for (auto& [key, index] : index_) {
    if (index > pos) --index;
  }
  return true;
}

Value* Namespace::Find(std::string_view name) {
  const auto found = std::ranges::find(items, name, &std::pair<std::string, Value>::first);
  return found == items.end() ? nullptr : &found->second;
}

void Namespace::Set(std::string_view name, Value value) {
  if (Value* found = Find(name)) {
    *found = std::move(value);
  } else {
    items.emplace_back(name, std::move(value));
  }
}

const char* TypeName(const Value& value) {
  if (const auto* list = value.If<List*>()) {
    switch ((*list)->kind) {
      case List::kList:
        return "list";
      case List::kTuple:
        return "tuple";
      case List::kView:
        return (*list)->view;
      case List::kGenerator:
        return "generator";
    }
  }
  constexpr const char* kNames[] = {"Undefined", "NoneType", "bool",        "int",
                                    "float",     "str",      "list",        "dict",
                                    "Namespace", "function", "LoopContext", "Cycler"};
  return kNames[value.Get().index()];
}

bool IsTrue(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (const auto* flag = value.If<bool>()) return *flag;
  if (const auto* number = value.If<int64_t>()) return *number != 0;
  if (const auto* number = value.If<double>()) return *number != 0;
  if (const auto* text = value.If<Text>()) return !text->Empty();
  if (const auto* list = value.If<List*>())
    return (*list)->kind == List::kGenerator || !(*list)->items.empty();
  if (const auto* dict = value.If<Dict*>()) return !(*dict)->items.empty();
  return true;
}

double ToDouble(const Value& value) {
  if (const auto* flag = value.If<bool>()) return *flag ? 1 : 0;
  if (const auto* number = value.If<int64_t>()) return static_cast<double>(*number);
  return value.As<double>();
}

namespace {

// bool counts as int.
const int64_t* WholeNumber(const Value& value, int64_t& storage) {
  if (const auto* flag = value.If<bool>()) {
    storage = *flag ? 1 : 0;
    return &storage;
  }
  return value.If<int64_t>();
}

// Exact where a double holds the whole number, as all but extreme ones are.
int CompareNumbers(const Value& a, const Value& b) {
  int64_t a_storage, b_storage;
  const int64_t* a_whole = WholeNumber(a, a_storage);
  const int64_t* b_whole = WholeNumber(b, b_storage);
  if (a_whole != nullptr && b_whole != nullptr) return *a_whole < *b_whole ? -1 : *a_whole > *b_whole;
  const double x = ToDouble(a), y = ToDouble(b);
  return x < y ? -1 : x > y;
}

}  // namespace

std::string KeyOf(Runtime& runtime, const Value& key) {
  if (const auto* text = key.If<Text>()) {
    runtime.Touch(text->Size());
    return "s" + std::string(text->View());
  }
  if (key.IsNone()) return "n";
  if (key.IsUndefined()) return "u";
  if (key.IsNumber()) {
    const double number = ToDouble(key);
    if (const auto* whole = key.If<int64_t>()) return fmt::format("i{}", *whole);
    if (std::floor(number) == number && std::abs(number) < 1e15)
      return fmt::format("i{}", static_cast<int64_t>(number));
    return fmt::format("f{}", number);
  }
  if (const auto* list = key.If<List*>(); list != nullptr && (*list)->kind == List::kTuple) {
    const Runtime::Level level(runtime);
    std::string id = "(";
    for (const Value& item : (*list)->items) {
      const std::string part = KeyOf(runtime, item);
      id += fmt::format("{}:{}", part.size(), part);
    }
    return id;
  }
  runtime.Fail("a value of type '{}' cannot be the key of a dict", TypeName(key));
}

bool Equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.Step();
  if (a.IsNumber() && b.IsNumber()) {
    if (std::isnan(ToDouble(a)) || std::isnan(ToDouble(b))) return false;
    return CompareNumbers(a, b) == 0;
  }
  if (a.Get().index() != b.Get().index()) return false;
  if (const auto* text = a.If<Text>()) {
    const std::string_view other = b.As<Text>().View();
    if (text->Size() != other.size()) return false;
    runtime.Touch(other.size());
    return text->View() == other;
  }
  if (a.IsUndefined() || a.IsNone()) return true;
  const Runtime::Level level(runtime);
  if (const auto* list = a.If<List*>()) {
    const List& x = **list;
    const List& y = *b.As<List*>();
    if (&x == &y) return true;
    return x.kind == y.kind && x.kind != List::kGenerator && x.items.size() == y.items.size() &&
           std::ranges::equal(x.items, y.items,
                              [&](const Value& p, const Value& q) { return Equal(runtime, p, q); });
  }
  if (const auto* dict = a.If<Dict*>()) {
    Dict& other = *b.As<Dict*>();
    if (*dict == &other) return true;
    if ((*dict)->items.size() != other.items.size()) return false;
    return std::ranges::all_of((*dict)->items, [&](const auto& item) {
      const Value* found = other.Find(KeyOf(runtime, item.first));
      return found != nullptr && Equal(runtime, item.second, *found);
    });
  }
  if (const auto* space = a.If<Namespace*>()) return *space == b.As<Namespace*>();
  if (const auto* function = a.If<Function*>()) return *function == b.As<Function*>();
  if (const auto* loop = a.If<Loop*>()) return *loop == b.As<Loop*>();
  return a.As<Cycler*>() == b.As<Cycler*>();
}

int Compare(Runtime& runtime, const Value& a, const Value& b, const char* op) {
  runtime.Step();
  if (a.IsNumber() && b.IsNumber()) return CompareNumbers(a, b);
  if (a.Is<Text>() && b.Is<Text>()) {
    runtime.Touch(std::min(a.As<Text>().Size(), b.As<Text>().Size()));
    return a.As<Text>().View().compare(b.As<Text>().View());  // bytes of UTF-8 sort as code points do
  }
  if (a.Is<List*>() && b.Is<List*>() && a.As<List*>()->kind == b.As<List*>()->kind &&
      a.As<List*>()->kind <= List::kTuple) {
    const Runtime::Level level(runtime);
    const std::vector<Value>& x = a.As<List*>()->items;
    const std::vector<Value>& y = b.As<List*>()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!Equal(runtime, x[i], y[i])) return Compare(runtime, x[i], y[i], op);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size();
  }
  if (const auto* undefined = a.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (const auto* undefined = b.If<Undefined>()) runtime.FailUndefined(*undefined);
  runtime.Fail("'{}' is not supported between '{}' and '{}'", op, TypeName(a), TypeName(b));
}

bool Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const auto* text = container.If<Text>()) {
    if (!item.Is<Text>()) {
      if (const auto* undefined = item.If<Undefined>()) runtime.FailUndefined(*undefined);
      runtime.Fail("'in' of a string needs a string, not '{}'", TypeName(item));
    }
    runtime.Touch(text->Size());
    return FindBytes(text->View(), item.As<Text>().View()) != std::string_view::npos;
  }
  if (const auto* dict = container.If<Dict*>()) return (*dict)->Find(KeyOf(runtime, item)) != nullptr;
  return std::ranges::any_of(Iterate(runtime, container),
                             [&](const Value& member) { return Equal(runtime, member, item); });
}

std::vector<Value> Iterate(Runtime& runtime, const Value& value) {
  if (value.IsUndefined()) return {};
  if (const auto* list = value.If<List*>()) {
    runtime.Touch((*list)->items.size() * sizeof(Value));
    if ((*list)->kind == List::kGenerator) return std::exchange((*list)->items, {});
    return (*list)->items;
  }
  std::vector<Value> members;
  if (const auto* dict = value.If<Dict*>()) {
    runtime.Touch((*dict)->items.size() * sizeof(Value));
    for (const auto& [key, item] : (*dict)->items) members.push_back(key);
  } else if (const auto* text = value.If<Text>()) {
    const std::string_view bytes = text->View();
    for (size_t pos = 0; pos < bytes.size();) {
      const size_t end = pos + CodePointAt(bytes, pos).length;
      runtime.Touch(sizeof(Value) + 64);
      members.emplace_back(text->Slice(pos, end));
      pos = end;
    }
  } else {
    runtime.Fail("'{}' object is not iterable", TypeName(value));
  }
  return members;
}

size_t Length(Runtime& runtime, const Value& value) {
  if (value.IsUndefined()) return 0;
  if (const auto* text = value.If<Text>()) {
    runtime.Touch(text->Size());
    return CountCodePoints(text->View());
  }
  if (const auto* dict = value.If<Dict*>()) return (*dict)->items.size();
  if (const auto* list = value.If<List*>(); list != nullptr && (*list)->kind != List::kGenerator) {
    return (*list)->items.size();
  }
  runtime.Fail("object of type '{}' has no len()", TypeName(value));
}

}  // namespace throng::jinja
