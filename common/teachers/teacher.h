// Simulated teachers: the six of B-Pref (Lee et al. 2021, "B-Pref: Benchmarking
// Preference-Based Reinforcement Learning"), which judge clips by their true
// rewards; and faulty ones, for crowds.
#ifndef BACKFLIP_COMMON_TEACHERS_TEACHER_H_
#define BACKFLIP_COMMON_TEACHERS_TEACHER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/run.pb.h"

namespace backflip::teachers {

// What a teacher is like; its defaults are the oracle's.
struct TeacherTraits {
  // Answers at random, the better clip with probability
  // sigmoid(difference of returns), instead of always by the greater return.
  bool stochastic = false;
  // A step t of H counts myopia^(H-1-t): below 1, the last steps count most.
  double myopia = 1;
  // Share of answers that are turned around.
  double mistake = 0;
  // Says "cannot tell" unless the better clip's return is above this share of
  // what a clip earns on average.
  double skip = 0;
  // Says "tie" when the returns differ by less than this share of what a clip
  // earns on average.
  double equal = 0;
  // Share of answers that are left or right at random, whatever the clips show.
  double random = 0;
  // Reads the clips' rubric (v1::Clip.rubric) instead of their true rewards: the first
  // criterion in which they differ decides. The other traits are none of its.
  bool rubric = false;
};

// A teacher by name, with a few words on how it answers, for help texts.
struct NamedTeacher {
  const char* name;
  TeacherTraits traits;
  const char* words;
};

// All teachers: the only list of them. To add one, add a line to it.
absl::Span<const NamedTeacher> Teachers();
// Their names, with commas.
std::string TeacherNames();
// INVALID_ARGUMENT lists the names.
absl::StatusOr<TeacherTraits> TraitsOf(absl::string_view name);
// OK where clips of the task have what the teacher `name` answers by. INVALID_ARGUMENT: there
// is no such teacher; FAILED_PRECONDITION says what the task lacks.
absl::Status CheckTask(absl::string_view name, const v1::TaskInfo& task);

// Not thread-safe.
//
// A draw depends on the seed and on the two clips alone, not on their sides nor
// on when they are asked: the same question gets the same answer again.
//
// B-Pref's thresholds of skip and equal are e * R * H / T, with R the mean true
// return of the latest episodes, T their length and H that of a clip. A teacher
// sees clips and no episodes, so R * H / T, what a clip earns on average, is
// the mean return of the last kRecentClips clips it was shown, those of the
// question included. (In B-Pref's own code e is applied twice from the second
// session on, which makes both teachers all but oracles; here it is applied once.)
class Teacher {
 public:
  // About what ten episodes give in pairs.
  static constexpr size_t kRecentClips = 100;

  Teacher(TeacherTraits traits, uint64_t seed);

  // Whether it judges by the clips' rubric, not by their true rewards.
  bool by_rubric() const { return traits_.rubric; }

  // LEFT, RIGHT, TIE or CANNOT_TELL, by the clips' true rewards, step by step, or by their
  // rubric; both clips have as many numbers, at least one. Equal returns are a tie, unless
  // the answer is drawn.
  v1::Choice Judge(const std::vector<float>& left, const std::vector<float>& right);

 private:
  double MeanRecentReturn() const;

  const TeacherTraits traits_;
  const uint64_t seed_;
  std::deque<double> recent_returns_;
};

}  // namespace backflip::teachers

#endif  // BACKFLIP_COMMON_TEACHERS_TEACHER_H_
