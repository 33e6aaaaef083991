#include "jinja/builtin.h"

#include <algorithm>
#include <unordered_map>

#include "jinja/format.h"
#include "jinja/loop.h"
#include "jinja/operators.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

using Index = std::unordered_map<std::string_view, const Builtin*>;

Index MakeIndex(std::initializer_list<std::span<const Builtin>> tables) {
  Index index;
  for (const std::span<const Builtin> table : tables) {
    for (const Builtin& builtin : table) index.emplace(builtin.name, &builtin);
  }
  return index;
}

const Builtin* FindIn(const Index& index, std::string_view name) {
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

constexpr std::string_view kMore = "...";

std::string_view TakeWord(std::string_view& words) {
  const size_t end = std::min(words.find(' '), words.size());
  const std::string_view word = words.substr(0, end);
  words.remove_prefix(std::min(end + 1, words.size()));
  return word;
}

}  // namespace

const Builtin* FindFilter(std::string_view name) {
  static const Index index = MakeIndex({TextFilters(), ListFilters()});
  return FindIn(index, name);
}

const Builtin* FindTest(std::string_view name) {
  static const Index index = MakeIndex({Tests()});
  return FindIn(index, name);
}

const Builtin* FindFunction(std::string_view name) {
  static const Index index = MakeIndex({Functions()});
  return FindIn(index, name);
}

const Builtin* FindMethod(const Value& self, std::string_view name) {
  static const Index strings = MakeIndex({StringMethods()});
  static const Index lists = MakeIndex({ListMethods()});
  static const Index tuples = MakeIndex({TupleMethods()});
  static const Index dicts = MakeIndex({DictMethods()});
  static const Index cyclers = MakeIndex({CyclerMethods()});
  if (self.Is<Text>()) return FindIn(strings, name);
  if (self.Is<Dict*>()) return FindIn(dicts, name);
  if (self.Is<Cycler*>()) return FindIn(cyclers, name);
  if (const auto* list = self.If<List*>()) {
    if ((*list)->kind == List::kList) return FindIn(lists, name);
    if ((*list)->kind == List::kTuple) return FindIn(tuples, name);
  }
  return nullptr;
}

Bound::Bound(Runtime& runtime, const Builtin& builtin, const Arguments& arguments)
    : runtime_(runtime), builtin_(builtin) {
  size_t taken = 0;
  size_t named_taken = 0;
  bool takes_more = false;
  for (std::string_view rest = builtin.parameters; !rest.empty();) {
    std::string_view name = TakeWord(rest);
    if (name == kMore) {
      takes_more = true;
      break;
    }
    const bool is_optional = name.ends_with('?');
    if (is_optional) name.remove_suffix(1);
    const auto named = std::ranges::find_if(
        arguments.named, [&](const auto& argument) { return argument.first.View() == name; });
    if (taken < arguments.positional.size()) {
      if (named != arguments.named.end()) runtime.Fail("{}: '{}' is given twice", builtin.name, name);
      values_.push_back(arguments.positional[taken++]);
    } else if (named != arguments.named.end()) {
      values_.push_back(named->second);
      ++named_taken;
    } else {
      if (!is_optional) runtime.Fail("{}: the argument '{}' is missing", builtin.name, name);
      values_.emplace_back();
    }
  }
  if (takes_more) {
    more_.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken),
                            arguments.positional.end());
    more_.named = arguments.named;
    return;
  }
  if (taken < arguments.positional.size() || named_taken < arguments.named.size()) {
    runtime.Fail("{}: found arguments that it does not take, allowed are: {}", builtin.name,
                 builtin.parameters.empty() ? "none" : builtin.parameters);
  }
}

int64_t Bound::Int(size_t i, int64_t missing) const {
  const Value& value = values_[i];
  if (value.IsUndefined()) return missing;
  if (const auto* flag = value.If<bool>()) return *flag ? 1 : 0;
  if (const auto* number = value.If<int64_t>()) return *number;
  runtime_.Fail("{}: found a value of type '{}' where a whole number is expected", builtin_.name,
                TypeName(value));
}

Text Bound::String(size_t i, std::string_view missing) const {
  const Value& value = values_[i];
  if (value.IsUndefined()) return Text::Frame(std::string(missing));
  if (const auto* text = value.If<Text>()) return *text;
  runtime_.Fail("{}: found a value of type '{}' where a string is expected", builtin_.name, TypeName(value));
}

Value CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, const Arguments& arguments) {
  const Bound bound(runtime, builtin, arguments);
  return builtin.call(runtime, self, bound);
}

Value AttributeOf(Runtime& runtime, const Value& object, std::string_view name) {
  if (const auto* undefined = object.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (const Builtin* method = FindMethod(object, name)) {
    return runtime.NewFunction(std::string(name), [method, object](Runtime& rt, const Arguments& arguments) {
      return CallBuiltin(rt, *method, object, arguments);
    });
  }
  if (const auto* dict = object.If<Dict*>()) {
    if (const Value* found = (*dict)->Find("s" + std::string(name))) return *found;
  } else if (const auto* space = object.If<Namespace*>()) {
    if (const Value* found = (*space)->Find(name)) return *found;
  } else if (const auto* loop = object.If<Loop*>()) {
    return (*loop)->Attribute(runtime, name);
  } else if (const auto* cycler = object.If<Cycler*>(); cycler != nullptr && name == "current") {
    return (*cycler)->items[(*cycler)->pos];
  } else if (const auto* list = object.If<List*>(); list != nullptr && (*list)->is_group) {
    if (name == "grouper") return (*list)->items[0];
    if (name == "list") return (*list)->items[1];
  } else if (const auto* function = object.If<Function*>(); function != nullptr && name == "name") {
    return Text::Frame((*function)->name);
  }
  return Undefined{TypeName(object), name};
}

Value ItemOf(Runtime& runtime, const Value& object, const Value& index) {
  if (const auto* undefined = object.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (const auto* dict = object.If<Dict*>()) {
    const auto* list = index.If<List*>();
    const bool can_be_key = !index.Is<Dict*>() && (list == nullptr || (*list)->kind == List::kTuple);
    if (can_be_key) {
      if (const Value* found = (*dict)->Find(KeyOf(runtime, index))) return *found;
    }
  } else if (index.Is<bool>()) {
    return ItemOf(runtime, object, static_cast<int64_t>(index.As<bool>()));
  } else if (const auto* number = index.If<int64_t>()) {
    const auto at = [&](size_t size) { return *number < 0 ? *number + static_cast<int64_t>(size) : *number; };
    if (const auto* list = object.If<List*>(); list != nullptr && (*list)->kind <= List::kTuple) {
      const int64_t i = at((*list)->items.size());
      if (i >= 0 && i < static_cast<int64_t>((*list)->items.size()))
        return (*list)->items[static_cast<size_t>(i)];
    } else if (const auto* text = object.If<Text>()) {
      runtime.Touch(text->Size());
      const int64_t i = at(*number < 0 ? CountCodePoints(text->View()) : 0);
      const size_t begin = i < 0 ? text->Size() : ByteOfCodePoint(text->View(), static_cast<size_t>(i));
      if (begin < text->Size()) return text->Slice(begin, begin + CodePointAt(text->View(), begin).length);
    }
  }
  if (const auto* name = index.If<Text>()) {
    const std::string_view kept = runtime.Keep(name->View());
    // The dict was asked already: what is left are methods and the attributes of other objects.
    if (!object.Is<Dict*>() || FindMethod(object, kept) != nullptr) return AttributeOf(runtime, object, kept);
    return Undefined{TypeName(object), kept};
  }
  return Undefined{TypeName(object), runtime.Keep(ToText(runtime, index).View())};
}

}  // namespace throng::jinja
