#include "cli/output/label_files.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>
#include <zip.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "cli/output/chart.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "common/rpc/status.h"

namespace backflip::cli {
namespace {

namespace json = google::protobuf::util;
using v1::ReviewService;

constexpr int kClipsPerCall = 500;

std::string JsonOf(const google::protobuf::Message& message) {
  json::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  (void)json::MessageToJsonString(message, &text, options);
  return text;
}

absl::Status CannotWrite(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

// Clips of the ids given, or of all standing labels of the run.
absl::StatusOr<std::map<std::string, v1::Clip>> ReadClips(const client::BrokerClient& broker,
                                                          int64_t run_id,
                                                          const std::set<std::string>& ids) {
  const auto review = ReviewService::NewStub(broker.client().channel());
  std::map<std::string, v1::Clip> clips;
  auto next = ids.begin();
  while (next != ids.end()) {
    v1::ExportClipsRequest request;
    request.set_run_id(run_id);
    for (; next != ids.end() && request.clip_ids_size() < kClipsPerCall; ++next) {
      request.add_clip_ids(*next);
    }
    const auto context = broker.client().StreamContext();
    const auto reader = review->ExportClips(context.get(), request);
    v1::Candidate candidate;
    while (reader->Read(&candidate)) {
      clips[candidate.clip_id()] = std::move(*candidate.mutable_clip());
    }
    RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  }
  return clips;
}

std::string Csv(const std::vector<v1::ExportedLabel>& labels) {
  std::string csv =
      "schema,label_id,question_id,purpose,clips,answer,labeler,issued_ms,"
      "answered_ms,first_played_ms,decision_ms,active_ms,loops,undo_count,"
      "turned,surplus,client,selector,score,ensemble_version,round,note\r\n";
  for (const v1::ExportedLabel& l : labels) {
    absl::StrAppend(&csv, l.schema(), ",", l.label_id(), ",", l.question_id(), ",",
                    absl::AsciiStrToLower(v1::Purpose_Name(l.purpose())), ",",
                    absl::StrJoin(l.clip_ids(), " "), ",", AnswerText(l.answer()), ",");
    absl::StrAppend(&csv, CsvField(l.labeler()), ",", l.issued_ms(), ",", l.answered_ms(), ",",
                    l.timing().first_played_ms(), ",", l.timing().decision_ms(), ",",
                    l.timing().active_ms(), ",", l.timing().loops(), ",");
    absl::StrAppend(&csv, l.undo_count(), ",", l.turned() ? 1 : 0, ",", l.surplus() ? 1 : 0, ",",
                    CsvField(l.client()), ",", CsvField(l.selector()), ",", l.score(), ",",
                    l.ensemble_version(), ",", l.round(), ",", CsvField(l.note()), "\r\n");
  }
  return csv;
}

// One comparison of two clips: 1 the first is better, 0 the second, 0.5 a tie.
struct Pair {
  const v1::Clip* first;
  const v1::Clip* second;
  float first_preferred;
};

// What is trained on. NOT_FOUND: a clip that the broker did not send.
absl::StatusOr<std::vector<Pair>> Pairs(const std::vector<v1::ExportedLabel>& labels,
                                        const std::map<std::string, v1::Clip>& clips) {
  std::vector<Pair> pairs;
  for (const v1::ExportedLabel& label : labels) {
    if (label.purpose() != v1::TRAIN) continue;
    std::vector<const v1::Clip*> shown;
    for (const std::string& id : label.clip_ids()) {
      const auto clip = clips.find(id);
      if (clip == clips.end()) {
        return absl::NotFoundError(
            absl::StrCat("clip ", id, " of label ", label.label_id(), " is missing"));
      }
      shown.push_back(&clip->second);
    }
    for (const auto& pair : experience::PairsOf(label.answer(), static_cast<int>(shown.size()))) {
      pairs.push_back({shown[pair.left], shown[pair.right], pair.left_preferred});
    }
  }
  return pairs;
}

// A NumPy array file, format 1.0, of little-endian numbers. `type`: "<f4".
template <typename T>
std::string Npy(const char* type, const std::vector<size_t>& shape, const std::vector<T>& values) {
  std::string header =
      absl::StrCat("{'descr': '", type, "', 'fortran_order': False, 'shape': (",
                   absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "", "), }");
  // the numbers begin at a multiple of 64
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return file;
}

// Each array as <name>.npy in an archive.
absl::Status WriteNpz(const std::string& path, const std::map<std::string, std::string>& arrays) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (archive == nullptr) return CannotWrite(path);
  for (const auto& [name, bytes] : arrays) {
    zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
    if (source == nullptr ||
        zip_file_add(archive, (name + ".npy").c_str(), source, ZIP_FL_ENC_UTF_8) < 0) {
      const std::string reason = zip_strerror(archive);
      zip_source_free(source);
      zip_discard(archive);
      return absl::InternalError(absl::StrCat("cannot write ", path, ": ", reason));
    }
  }
  if (zip_close(archive) != 0) {
    const std::string reason = zip_strerror(archive);
    zip_discard(archive);
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path, ": ", reason));
  }
  return absl::OkStatus();
}

size_t Width(size_t numbers, int rows) { return numbers / std::max(1, rows); }

// B-Pref's layout: segments [labels, steps, observation + action] and labels
// [labels, 1]: 0 the first is better, 1 the second, -1 a tie.
absl::Status WriteBPref(const std::vector<Pair>& pairs, const std::string& path) {
  const v1::Clip& one = *pairs.front().first;
  const size_t steps = one.steps();
  const size_t o = Width(one.observations_size(), one.steps() + 1);
  const size_t a = Width(one.actions_size(), one.steps());
  std::vector<float> segments[2], labels;
  for (const Pair& pair : pairs) {
    for (int side = 0; side < 2; ++side) {
      const v1::Clip& clip = side == 0 ? *pair.first : *pair.second;
      for (size_t t = 0; t < steps; ++t) {
        const auto observation = clip.observations().begin() + t * o;
        const auto action = clip.actions().begin() + t * a;
        segments[side].insert(segments[side].end(), observation, observation + o);
        segments[side].insert(segments[side].end(), action, action + a);
      }
    }
    labels.push_back(pair.first_preferred == 1 ? 0 : pair.first_preferred == 0 ? 1 : -1);
  }
  const std::vector<size_t> shape = {pairs.size(), steps, o + a};
  return WriteNpz(path, {{"buffer_seg1", Npy("<f4", shape, segments[0])},
                         {"buffer_seg2", Npy("<f4", shape, segments[1])},
                         {"buffer_label", Npy("<f4", {pairs.size(), 1}, labels)}});
}

// `imitation`'s file of trajectories: two for each label, first and second,
// with `preferences` beside them: the share of the preference for the first.
absl::Status WriteTrajectories(const std::vector<Pair>& pairs, const std::string& path) {
  const v1::Clip& one = *pairs.front().first;
  const size_t o = Width(one.observations_size(), one.steps() + 1);
  const size_t a = Width(one.actions_size(), one.steps());
  std::vector<float> observations, actions, preferences;
  std::vector<int64_t> ends;
  int64_t end = 0;
  for (const Pair& pair : pairs) {
    for (const v1::Clip* clip : {pair.first, pair.second}) {
      observations.insert(observations.end(), clip->observations().begin(),
                          clip->observations().end());
      actions.insert(actions.end(), clip->actions().begin(), clip->actions().end());
      end += clip->steps();
      ends.push_back(end);
    }
    preferences.push_back(pair.first_preferred);
  }
  const size_t steps = end;
  ends.pop_back();  // where the array is split
  const size_t trajectories = 2 * pairs.size();
  return WriteNpz(path, {{"obs", Npy("<f4", {steps + trajectories, o}, observations)},
                         {"acts", Npy("<f4", {steps, a}, actions)},
                         // nothing, for each step
                         {"infos", Npy("<f4", {steps, 0}, std::vector<float>())},
                         {"terminal", Npy("|b1", {trajectories}, std::vector<char>(trajectories))},
                         {"indices", Npy("<i8", {ends.size()}, ends)},
                         {"preferences", Npy("<f4", {pairs.size()}, preferences)}});
}

absl::Status WriteText(const std::string& text, const std::string& path) {
  if (path.empty()) {
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                   std::fflush(stdout) == 0
               ? absl::OkStatus()
               : CannotWrite("to standard output");
  }
  return WriteFile(path, text);
}

// Reads a line into what is imported: a clip, or a label to train on; neither is set where the
// label is not one to train on. INVALID_ARGUMENT says why the line is neither a clip nor a label.
absl::Status ParseLine(const std::string& line, v1::ImportLabelsRequest* request) {
  v1::Candidate candidate;
  const auto as_clip = json::JsonStringToMessage(line, &candidate);
  if (as_clip.ok()) {
    *request->mutable_clip() = std::move(candidate);
    return absl::OkStatus();
  }
  v1::ExportedLabel exported;
  const auto as_label = json::JsonStringToMessage(line, &exported);
  if (!as_label.ok()) {
    return absl::InvalidArgumentError(
        std::string(absl::StrContains(line, "\"clip\"") ? as_clip.message() : as_label.message()));
  }
  if (exported.purpose() != v1::TRAIN) return absl::OkStatus();
  v1::ImportedLabel* label = request->mutable_label();
  *label->mutable_clip_ids() = std::move(*exported.mutable_clip_ids());
  *label->mutable_answer() = std::move(*exported.mutable_answer());
  label->set_labeler(exported.labeler());
  label->set_answered_ms(exported.answered_ms());
  *label->mutable_timing() = exported.timing();
  // the same line is the same label
  label->set_source_key(base::Sha256Hex(line));
  return absl::OkStatus();
}

}  // namespace

std::string AnswerText(const v1::Answer& answer) {
  if (!answer.has_ranking()) {
    return absl::AsciiStrToLower(v1::Choice_Name(answer.choice()));
  }
  return absl::StrJoin(answer.ranking().groups(), ">",
                       [](std::string* out, const v1::RankGroup& group) {
                         absl::StrAppend(out, absl::StrJoin(group.positions(), "="));
                       });
}

absl::Status ExportLabels(const client::BrokerClient& broker, int64_t run_id, LabelFormat format,
                          bool clips, const std::string& path) {
  const bool arrays = format == LabelFormat::kNpz || format == LabelFormat::kTrajectories;
  if (arrays && path.empty()) {
    return absl::InvalidArgumentError("arrays go to a file: give --out FILE.npz");
  }
  if (clips && format == LabelFormat::kCsv) {
    return absl::InvalidArgumentError(
        "CSV holds no clips: leave --clips out, or take --format jsonl");
  }
  std::vector<v1::ExportedLabel> labels;
  RETURN_IF_ERROR(
      broker.Export(run_id, [&](const v1::ExportedLabel& label) { labels.push_back(label); }));
  std::map<std::string, v1::Clip> whole;
  if (clips || arrays) {
    std::set<std::string> ids;
    for (const v1::ExportedLabel& label : labels) {
      if (arrays && label.purpose() != v1::TRAIN) continue;
      ids.insert(label.clip_ids().begin(), label.clip_ids().end());
    }
    ASSIGN_OR_RETURN(whole, ReadClips(broker, run_id, ids));
  }
  if (!arrays) {
    std::string text;
    if (format == LabelFormat::kCsv) {
      text = Csv(labels);
    } else {
      for (const auto& [id, clip] : whole) {
        v1::Candidate candidate;
        candidate.set_clip_id(id);
        *candidate.mutable_clip() = clip;
        absl::StrAppend(&text, JsonOf(candidate), "\n");
      }
      for (const v1::ExportedLabel& label : labels) {
        absl::StrAppend(&text, JsonOf(label), "\n");
      }
    }
    return WriteText(text, path);
  }
  ASSIGN_OR_RETURN(const std::vector<Pair> pairs, Pairs(labels, whole));
  if (pairs.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " has no labels that could be trained on yet"));
  }
  return format == LabelFormat::kNpz ? WriteBPref(pairs, path) : WriteTrajectories(pairs, path);
}

absl::StatusOr<v1::ImportLabelsResponse> ImportLabels(const client::BrokerClient& broker,
                                                      int64_t run_id, const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const auto review = ReviewService::NewStub(broker.client().channel());
  const auto context = broker.client().StreamContext();
  v1::ImportLabelsResponse response;
  const auto writer = review->ImportLabels(context.get(), &response);
  std::string line;
  absl::Status bad;
  for (int number = 1; bad.ok() && std::getline(file, line); ++number) {
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    v1::ImportLabelsRequest request;
    bad = ParseLine(line, &request);
    if (!bad.ok()) {
      bad =
          absl::InvalidArgumentError(absl::StrCat(path, ":", number,
                                                  ": this is no label or clip of a `labels export "
                                                  "--format jsonl --clips`: ",
                                                  bad.message()));
    } else if (request.item_case() != v1::ImportLabelsRequest::ITEM_NOT_SET) {
      request.set_run_id(run_id);
      if (!writer->Write(request)) break;  // Finish says why
    }
  }
  if (!bad.ok()) {
    context->TryCancel();
    (void)writer->Finish();
    return bad;
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return response;
}

std::string CsvField(absl::string_view text) {
  // a labeler's name or note must not become a spreadsheet's formula
  const bool formula = !text.empty() && absl::StrContains("=+-@\t\r", text.substr(0, 1));
  const std::string field = absl::StrCat(formula ? "'" : "", text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  return absl::StrCat("\"", absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
}

}  // namespace backflip::cli
