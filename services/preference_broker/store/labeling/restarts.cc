#include "services/preference_broker/store/labeling/restarts.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// The clips that were preferred, newest answers first.
std::vector<int64_t> PreferredClips(Transaction& t, const v1::GetMomentsRequest& request) {
  std::vector<int64_t> preferred;
  for (const auto& row : t.Exec(R"sql(
           SELECT l.choice, l.ranking, s.turned, q.clips,
             (SELECT string_agg(p.clip_id::text, ',' ORDER BY p.position) FROM question_clips p
              WHERE p.question_id = q.id) AS clip_list
           FROM standing_labels l JOIN questions q ON q.id = l.question_id
           JOIN leases s ON s.id = l.lease_id
           WHERE l.run_id = $1 AND q.purpose = 'TRAIN' AND q.round BETWEEN 0 AND $2
             AND (l.choice IN ('LEFT', 'RIGHT') OR l.ranking IS NOT NULL)
           ORDER BY q.ordinal DESC, l.id DESC LIMIT $3)sql",
                                request.run_id(), request.max_round(), request.limit())) {
    const v1::Answer shown = AnswerFromFields(row["choice"], row["ranking"]);
    const std::optional<int> best = experience::PreferredOf(
        Bool(row["turned"]) ? experience::Turned(shown, Int(row["clips"])) : shown);
    if (!best.has_value()) continue;
    const std::vector<std::string> clips = absl::StrSplit(Text(row["clip_list"]), ',');
    int64_t id = 0;
    if (absl::SimpleAtoi(clips.at(*best), &id)) preferred.push_back(id);
  }
  return preferred;
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> ChooseClips(Connection& connection,
                                                 const v1::GetMomentsRequest& request) {
  ASSIGN_OR_RETURN(std::vector<int64_t> newest,
                   ListCandidates(connection, request.run_id(), /*after_iteration=*/-1,
                                  request.max_iteration(), request.limit()));
  std::vector<int64_t> chosen;
  if (newest.empty()) return chosen;
  std::reverse(newest.begin(), newest.end());
  ASSIGN_OR_RETURN(const std::vector<int64_t> preferred,
                   connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<int64_t>> {
                     return PreferredClips(t, request);
                   }));
  for (const v1::MomentChoice& choice : request.choices()) {
    const auto& clips = choice.preferred() && !preferred.empty() ? preferred : newest;
    chosen.push_back(clips[choice.place() % clips.size()]);
  }
  return chosen;
}

absl::StatusOr<std::vector<v1::Moment>> ReadMoments(Connection& connection, int clip_steps,
                                                    const std::vector<int64_t>& clips,
                                                    const std::vector<int>& steps_before_end) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::Moment>> {
    const pqxx::result rows = t.Exec(
        "SELECT c.physics FROM unnest($1::bigint[]) WITH ORDINALITY AS u(id, place) "
        "JOIN clips c ON c.id = u.id ORDER BY u.place",
        clips);
    std::vector<v1::Moment> moments(rows.size());
    for (size_t i = 0; i < moments.size(); ++i) {
      v1::Clip clip;
      RETURN_IF_ERROR(UnpackPart(Blob(rows[i][0]), &clip));
      const int size = clip.states_size() / (clip_steps + 1);
      const int moment = clip_steps - std::clamp(steps_before_end[i], 0, clip_steps);
      const auto state = clip.states().begin() + moment * size;
      moments[i].mutable_state()->Add(state, state + size);
    }
    return moments;
  });
}

}  // namespace backflip::preference_broker
