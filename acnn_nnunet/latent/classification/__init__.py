"""`acnn-nnunet classify`: can codes tell groups of patients apart?"""
