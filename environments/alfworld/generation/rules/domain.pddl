;; The household world of the generated games. Predicates and actions carry the names that ALFWorld's engine and
;; games use, so that either engine plays either kind of game.

(define (domain alfred)
  (:requirements :adl :action-costs :typing)
  (:types agent location receptacle object rtype otype)

  (:predicates
    (atLocation ?a - agent ?l - location)
    (receptacleAtLocation ?r - receptacle ?l - location)
    (objectAtLocation ?o - object ?l - location)
    (receptacleType ?r - receptacle ?rt - rtype)
    (objectType ?o - object ?ot - otype)
    (canContain ?rt - rtype ?ot - otype)
    (inReceptacle ?o - object ?r - receptacle)
    (isReceptacleObject ?o - object)
    (inReceptacleObject ?inner - object ?outer - object)
    (openable ?r - receptacle)
    (opened ?r - receptacle)
    (checked ?r - receptacle)
    (holds ?a - agent ?o - object)
    (holdsAny ?a - agent)
    (pickupable ?o - object)
    (cleanable ?o - object)
    (isClean ?o - object)
    (heatable ?o - object)
    (isHot ?o - object)
    (coolable ?o - object)
    (isCool ?o - object)
    (toggleable ?o - object)
    (isOn ?o - object)
    (isToggled ?o - object)
    (sliceable ?o - object)
    (isSliced ?o - object)
  )
  (:functions (total-cost) - number)

  ;; Looking around. `checked` is never read: an action must have some effect to be kept by a planner.
  (:action look
    :parameters (?a - agent ?l - location)
    :precondition (and (atLocation ?a ?l))
    :effect (and (checked ?l))
  )
  (:action inventory
    :parameters (?a - agent)
    :precondition ()
    :effect (and (checked ?a))
  )
  (:action examineReceptacle
    :parameters (?a - agent ?r - receptacle)
    :precondition (and
      (exists (?l - location) (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l)))
    )
    :effect (and (checked ?r))
  )
  (:action examineObject
    :parameters (?a - agent ?o - object)
    :precondition (or
      (exists (?l - location ?r - receptacle)
        (and
          (atLocation ?a ?l)
          (receptacleAtLocation ?r ?l)
          (inReceptacle ?o ?r)
          (or (not (openable ?r)) (opened ?r))
        )
      )
      (holds ?a ?o)
    )
    :effect (and (checked ?o))
  )

  ;; Moving about.
  (:action GotoLocation
    :parameters (?a - agent ?lStart - location ?lEnd - location ?r - receptacle)
    :precondition (and (atLocation ?a ?lStart) (receptacleAtLocation ?r ?lEnd))
    :effect (and
      (not (atLocation ?a ?lStart))
      (atLocation ?a ?lEnd)
      (increase (total-cost) 1)
    )
  )
  (:action OpenObject
    :parameters (?a - agent ?l - location ?r - receptacle)
    :precondition (and
      (openable ?r)
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (not (opened ?r))
    )
    :effect (and (opened ?r) (checked ?r) (increase (total-cost) 1))
  )
  (:action CloseObject
    :parameters (?a - agent ?l - location ?r - receptacle)
    :precondition (and
      (openable ?r)
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (opened ?r)
    )
    :effect (and (not (opened ?r)) (increase (total-cost) 1))
  )

  ;; Carrying one thing at a time.
  (:action PickupObject
    :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and
      (pickupable ?o)
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (inReceptacle ?o ?r)
      (not (holdsAny ?a))
      (or (not (openable ?r)) (opened ?r))
    )
    :effect (and
      (not (inReceptacle ?o ?r))
      (not (objectAtLocation ?o ?l))
      (holds ?a ?o)
      (holdsAny ?a)
      (increase (total-cost) 1)
    )
  )
  (:action PutObject
    :parameters (?a - agent ?l - location ?o - object ?r - receptacle ?ot - otype ?rt - rtype)
    :precondition (and
      (holds ?a ?o)
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (or (not (openable ?r)) (opened ?r))
      (objectType ?o ?ot)
      (receptacleType ?r ?rt)
      (canContain ?rt ?ot)
    )
    :effect (and
      (inReceptacle ?o ?r)
      (objectAtLocation ?o ?l)
      (not (holds ?a ?o))
      (not (holdsAny ?a))
      (increase (total-cost) 1)
    )
  )

  ;; Changing things. A door may stay shut for all three appliances.
  (:action CleanObject
    :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and
      (cleanable ?o)
      (or (receptacleType ?r SinkType) (receptacleType ?r SinkBasinType))
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (holds ?a ?o)
    )
    :effect (and (isClean ?o) (increase (total-cost) 5))
  )
  (:action HeatObject
    :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and
      (heatable ?o)
      (or (receptacleType ?r MicrowaveType))
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (holds ?a ?o)
    )
    :effect (and (isHot ?o) (not (isCool ?o)) (increase (total-cost) 5))
  )
  (:action CoolObject
    :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and
      (coolable ?o)
      (or (receptacleType ?r FridgeType))
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (holds ?a ?o)
    )
    :effect (and (isCool ?o) (not (isHot ?o)) (increase (total-cost) 5))
  )
  (:action ToggleObject
    :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and
      (toggleable ?o)
      (atLocation ?a ?l)
      (receptacleAtLocation ?r ?l)
      (inReceptacle ?o ?r)
    )
    :effect (and
      (when (isOn ?o) (not (isOn ?o)))
      (when (not (isOn ?o)) (isOn ?o))
      (isToggled ?o)
      (increase (total-cost) 5)
    )
  )
  (:action SliceObject
    :parameters (?a - agent ?l - location ?co - object ?ko - object)
    :precondition (and
      (sliceable ?co)
      (or (objectType ?ko KnifeType) (objectType ?ko ButterKnifeType))
      (atLocation ?a ?l)
      (objectAtLocation ?co ?l)
      (holds ?a ?ko)
    )
    :effect (and (isSliced ?co) (increase (total-cost) 5))
  )
)
