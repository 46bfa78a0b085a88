#include "services/preference_broker/store/labeling/usual_returns.h"

#include <vector>

#include "common/base/status_macros.h"
#include "common/teachers/teacher.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {

absl::Status SetUsualReturns(Transaction& t, int64_t run_id, int64_t id, v1::Question* question) {
  std::vector<double> returns;
  for (const auto& row : t.Exec(R"sql(
           SELECT c.truth FROM questions q JOIN question_clips p ON p.question_id = q.id
             JOIN clips c ON c.id = p.clip_id
           WHERE q.run_id = $1 AND c.truth IS NOT NULL
             AND q.ordinal <= (SELECT ordinal FROM questions WHERE id = $2)
           ORDER BY q.ordinal DESC, p.position DESC LIMIT $3)sql",
                                run_id, id, static_cast<int64_t>(teachers::kUsualClips))) {
    v1::Clip clip;
    RETURN_IF_ERROR(UnpackPart(Blob(row[0]), &clip));
    returns.push_back(teachers::ReturnOf({clip.true_rewards().begin(), clip.true_rewards().end()}));
  }
  const teachers::UsualReturns usual = teachers::UsualOf(returns);
  question->set_mean_return(usual.mean);
  question->set_return_deviation(usual.deviation);
  return absl::OkStatus();
}

}  // namespace backflip::preference_broker
