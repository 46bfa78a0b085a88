#include "common/nn/snapshot.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace backflip::nn {
namespace {

using nlohmann::json;

static_assert(sizeof(float) == 4, "safetensors F32");

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("safetensors: ", what));
}

// The elements of `shape`, or an error if they could not fit into a file.
absl::StatusOr<int64_t> CheckedSize(const json& shape, std::vector<int64_t>* dimensions) {
  int64_t size = 1;
  for (const json& value : shape) {
    if (!value.is_number_unsigned()) return Invalid("a shape is not integers");
    const uint64_t dimension = value.get<uint64_t>();
    if (dimension > static_cast<uint64_t>(Snapshot::kMaxBytes)) {
      return Invalid("a dimension is too large");
    }
    size *= static_cast<int64_t>(dimension);
    if (size > Snapshot::kMaxBytes) return Invalid("a tensor is too large");
    dimensions->push_back(static_cast<int64_t>(dimension));
  }
  return size;
}

}  // namespace

int64_t Tensor::size() const {
  int64_t size = 1;
  for (const int64_t dimension : shape) size *= dimension;
  return size;
}

std::string Snapshot::Encode() const {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const int64_t end = offset + tensor.size() * 4;
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  // data begins at a multiple of 8
  text.append((8 - text.size() % 8) % 8, ' ');

  std::string bytes;
  bytes.reserve(8 + text.size() + offset);
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(text.size() >> (8 * i) & 0xff));
  }
  bytes += text;
  for (const auto& [name, tensor] : tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * 4);
  }
  return bytes;
}

absl::StatusOr<Snapshot> Snapshot::Decode(absl::string_view bytes) {
  if (bytes.size() < 8) return Invalid("shorter than its length field");
  if (bytes.size() > static_cast<size_t>(kMaxBytes)) {
    return Invalid(absl::StrCat("larger than ", kMaxBytes, " bytes"));
  }
  uint64_t header_size = 0;
  for (int i = 0; i < 8; ++i) {
    header_size |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  if (header_size > static_cast<uint64_t>(kMaxHeaderBytes) || header_size > bytes.size() - 8) {
    return Invalid("the header is longer than allowed or than the file");
  }
  const absl::string_view text = bytes.substr(8, header_size);
  const absl::string_view data = bytes.substr(8 + header_size);
  // A header is two levels deep; the bound keeps a hostile one from building
  // anything deeper.
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= 4; };
  const json header = json::parse(text.begin(), text.end(), shallow,
                                  /*allow_exceptions=*/false);
  if (!header.is_object()) return Invalid("the header is not a JSON object");

  Snapshot snapshot;
  std::map<int64_t, int64_t> spans;  // begin → end of every non-empty tensor
  for (const auto& [name, entry] : header.items()) {
    if (!entry.is_object()) return Invalid(absl::StrCat(name, ": no object"));
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) return Invalid("metadata is not text");
        snapshot.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    const auto dtype = entry.find("dtype");
    const auto shape = entry.find("shape");
    const auto offsets = entry.find("data_offsets");
    if (dtype == entry.end() || *dtype != "F32") {
      return Invalid(absl::StrCat(name, ": the dtype must be F32"));
    }
    if (shape == entry.end() || !shape->is_array() || offsets == entry.end() ||
        !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned()) {
      return Invalid(absl::StrCat(name, ": no shape and two data_offsets"));
    }
    Tensor tensor;
    ASSIGN_OR_RETURN(const int64_t size, CheckedSize(*shape, &tensor.shape));
    const uint64_t begin = (*offsets)[0].get<uint64_t>();
    const uint64_t end = (*offsets)[1].get<uint64_t>();
    if (begin > end || end > data.size() || end - begin != static_cast<uint64_t>(size) * 4) {
      return Invalid(absl::StrCat(name, ": the offsets do not fit the shape or the file"));
    }
    if (size > 0 && !spans.emplace(begin, end).second) {
      return Invalid(absl::StrCat(name, ": overlaps another tensor"));
    }
    tensor.values.resize(size);
    if (size > 0) {
      std::memcpy(tensor.values.data(), data.data() + begin, size * 4);
    }
    for (const float value : tensor.values) {
      if (!std::isfinite(value)) {
        return Invalid(absl::StrCat(name, ": holds a value that is not finite"));
      }
    }
    snapshot.tensors[name] = std::move(tensor);
  }
  int64_t covered = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != covered) return Invalid("the tensors overlap or leave a hole");
    covered = end;
  }
  if (covered != static_cast<int64_t>(data.size())) {
    return Invalid("bytes after the last tensor");
  }
  return snapshot;
}

absl::StatusOr<const Tensor*> Snapshot::Find(const std::string& name,
                                             const std::vector<int64_t>& shape) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the snapshot has no tensor \"", name, "\""));
  }
  const Tensor& tensor = found->second;
  bool fits = tensor.shape.size() == shape.size() &&
              tensor.size() == static_cast<int64_t>(tensor.values.size());
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] == -1 || tensor.shape[i] == shape[i];
  }
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the snapshot's tensor \"", name, "\" has shape [", absl::StrJoin(tensor.shape, ","),
        "]; [", absl::StrJoin(shape, ","), "] is needed"));
  }
  return &tensor;
}

absl::StatusOr<std::string> Snapshot::Text(const std::string& name) const {
  const auto found = metadata.find(name);
  if (found == metadata.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the snapshot has no metadata \"", name, "\""));
  }
  return found->second;
}

absl::StatusOr<double> Snapshot::Number(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::vector<double> values, Numbers(name));
  if (values.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the snapshot's \"", name, "\" is not one number"));
  }
  return values[0];
}

absl::StatusOr<int64_t> Snapshot::Integer(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::vector<int64_t> values, Integers(name));
  if (values.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the snapshot's \"", name, "\" is not one integer"));
  }
  return values[0];
}

absl::StatusOr<std::vector<int64_t>> Snapshot::Integers(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string text, Text(name));
  std::vector<int64_t> values;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    int64_t value;
    if (!absl::SimpleAtoi(part, &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the snapshot's \"", name, "\" is not integers: ", text));
    }
    values.push_back(value);
  }
  return values;
}

absl::StatusOr<std::vector<double>> Snapshot::Numbers(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string text, Text(name));
  std::vector<double> values;
  if (text.empty()) return values;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    double value;
    if (!absl::SimpleAtod(part, &value) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the snapshot's \"", name, "\" is not finite numbers: ", text));
    }
    values.push_back(value);
  }
  return values;
}

void Snapshot::SetNumbers(const std::string& name, const std::vector<double>& values) {
  metadata[name] = absl::StrJoin(values, ",", [](std::string* out, double value) {
    absl::StrAppendFormat(out, "%.17g", value);
  });
}

}  // namespace backflip::nn
